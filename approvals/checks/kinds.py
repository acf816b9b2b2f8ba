"""What a kind of check is made of: its settings, and how it judges. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Settings: TypeAlias = dict[str, Any]
Evidence: TypeAlias = Mapping[str, Any]
Judge: TypeAlias = Callable[[Settings, Evidence, date], tuple[str, str]]
"""Gives the outcome ("pass", "warn", "fail" or "waiting") and one sentence of reason."""

LARGEST = 1.79e308
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Result:
    key: str
    """Unique within a rule."""

    kind: str
    title: str
    effect: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `type`: text, url, number, integer, list (of text), choice or flag."""

    name: str
    label: str
    type: str
    default: Any = None
    required: bool = False
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    least: float | None = None
    most: float | None = None
    is_later: bool = False
    """Newer than policies that are stored: left out of the settings where nothing is said, as it is there."""

    def read(self, raw: Any) -> tuple[Any, str]:
        """The value with its type, and what is wrong with it ("" when nothing)."""
        if raw is None or raw in ("", []):
            return self.default, f"{self.label} is missing." if self.required else ""
        try:
            value = getattr(self, f"_{self.type}")(raw)
        except (ValueError, TypeError, OverflowError):
            return None, f"{self.label}: {str(raw)[:100]!r} is not {_WORDS[self.type]}."
        for limit, word, is_bad in ((self.least, "at least", _below), (self.most, "at most", _above)):
            if limit is not None and is_bad(value, limit):
                return value, f"{self.label} is {word} {limit:g}."
        return value, ""

    def _text(self, raw: Any) -> str:
        if not isinstance(raw, str):
            raise TypeError
        return raw.strip()[:500]

    def _url(self, raw: Any) -> str:
        parts = urlsplit(self._text(raw))
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_safe or not parts.hostname or "@" in parts.netloc or parts.port == 0:  # a port out of range raises
            raise ValueError
        return parts.geturl()

    def _number(self, raw: Any) -> float:
        value = float(raw)
        if isinstance(raw, bool) or not math.isfinite(value):
            raise ValueError
        return value

    def _integer(self, raw: Any) -> int:
        value = int(str(raw))
        if isinstance(raw, bool):
            raise TypeError
        return value

    def _list(self, raw: Any) -> list[str]:
        words = raw.split(",") if isinstance(raw, str) else raw
        return [self._text(word) for word in words if self._text(word)]

    def _choice(self, raw: Any) -> str:
        if raw not in dict(self.choices):
            raise ValueError
        return str(raw)

    def _flag(self, raw: Any) -> bool:
        if not isinstance(raw, bool):
            raise TypeError
        return raw


_WORDS = {
    "text": "text",
    "url": "an address that begins with https://",
    "number": "a number",
    "integer": "a whole number",
    "list": "a list of names",
    "choice": "one of the choices",
    "flag": "yes or no",
}


def _below(value: float, limit: float) -> bool:
    return value < limit


def _above(value: float, limit: float) -> bool:
    return value > limit


@dataclass(frozen=True, slots=True)
class Kind:
    key: str
    label: str
    description: str
    fields: tuple[Field, ...]
    judge: Judge
    named: Callable[[Settings], str] = lambda _: ""
    """What one check of this kind is about, for its title."""

    also: Callable[[Settings], list[str]] = lambda _: []
    """What is wrong with the settings taken together."""

    @property
    def defaults(self) -> Settings:
        return {field.name: field.default for field in self.fields}

    def clean(self, settings: Mapping[str, Any]) -> tuple[Settings, list[str]]:
        """The settings as they are kept, defaults filled in, and a sentence for each thing that is wrong with them."""
        known = {field.name for field in self.fields}
        problems = [f"{self.label} has no setting called {name!r}." for name in settings if name not in known]
        found: Settings = {}
        for field in self.fields:
            found[field.name], problem = field.read(settings.get(field.name))
            if problem:
                problems.append(f"{self.label}: {problem}")
            if field.is_later and found[field.name] == field.default:
                del found[field.name]
        return found, problems or [f"{self.label}: {problem}" for problem in self.also(found)]


def says(evidence: Evidence, key: str) -> str:
    """What a parameter, a tag, or the well-known provenance says under this key; "" where nothing does."""
    facts = evidence["version"]
    for place in (facts.get("params"), facts.get("tags"), facts.get("provenance")):
        value = str((place or {}).get(key, "")).strip()
        if value:
            return value
    return ""


def number(text: Any) -> float | None:
    """A metric's value; None when there is none. May be NaN or infinite: MLflow stores infinity as the largest
    number."""
    try:
        value = None if text is None else float(text)
    except (TypeError, ValueError):
        return None
    return math.copysign(math.inf, value) if value is not None and abs(value) >= LARGEST else value
