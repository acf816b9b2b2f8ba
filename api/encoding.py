"""JSON as it comes in and goes out: UTF-8, times in UTC with Z, and nothing that a database could not keep."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import BaseRenderer
from ninja.responses import NinjaJSONEncoder

DEEPEST = 40
"""So deep a body may be nested."""

VOLATILE = "mirrored_at"
"""Says how old an answer is, so the tag of the answer leaves it out."""


class Encoder(NinjaJSONEncoder):
    def default(self, value: Any) -> Any:
        return timestamp(value) if isinstance(value, datetime) else super().default(value)


def as_json(data: Any, encoder: type[json.JSONEncoder] = Encoder) -> str:
    return json.dumps(data, cls=encoder, ensure_ascii=False, allow_nan=False)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond: `2026-05-01T12:04:05.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class JsonParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """Raises ValueError for what is no JSON, or has in it what is no text."""
        try:
            found = json.loads(request.body.decode(), parse_constant=_refuse)
        except RecursionError as error:
            raise ValueError("Nested too deeply.") from error
        for text in _texts(found, DEEPEST):
            if "\x00" in text:
                raise ValueError("A text with a NUL in it.")
            text.encode()  # UnicodeEncodeError, a ValueError, for half a character
        return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth < 0:
        raise ValueError("Nested too deeply.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth - 1)


class JsonRenderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> str:  # noqa: ARG002  as ninja calls it
        """The text; `request.tag` becomes the tag of what it says."""
        text = as_json(data)
        said = text
        if isinstance(data, dict) and isinstance(age := data.get(VOLATILE), datetime):
            said = text.replace(f'"{VOLATILE}": "{timestamp(age)}"', "", 1)
        request.tag = tag_of(said.encode())  # type: ignore[attr-defined]
        return text


def tag_of(content: bytes) -> str:
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
