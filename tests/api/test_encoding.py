"""Bodies that are no JSON, or hold what no database keeps; and how times leave."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import RequestFactory

from api.encoding import JsonParser, JsonRenderer, timestamp

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"\xff", b'{"a": NaN}', b'{"a": "\\u0000"}', b'{"\\u0000": 1}', b'["\\ud800"]', b"[" * 100_000,
        b"[" * 60 + b"]" * 60,
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    request = RequestFactory().post("/", body, content_type="application/json")
    with pytest.raises(ValueError):  # noqa: PT011  whatever its words
        JsonParser().parse_body(request)


def test_json_is_read_as_it_is() -> None:
    request = RequestFactory().post("/", '{"a": ["ü\\n", 1, null]}'.encode(), content_type="application/json")
    assert JsonParser().parse_body(request) == {"a": ["ü\n", 1, None]}


def test_times_are_utc_with_a_z() -> None:
    assert timestamp(NOON.astimezone(timezone(timedelta(hours=2)))) == "2026-03-01T12:00:00.000000Z"


def test_the_tag_of_an_answer_does_not_hang_on_how_old_the_mirror_is() -> None:
    def tag(**said: object) -> str:
        request = RequestFactory().get("/")
        JsonRenderer().render(request, said, response_status=200)
        return str(request.tag)  # type: ignore[attr-defined]

    first = tag(a=1, mirrored_at=NOON)
    assert tag(a=1, mirrored_at=NOON + timedelta(seconds=5)) == first
    assert tag(a=1, mirrored_at=None) != tag(a=2, mirrored_at=None)
    assert tag(a=2, mirrored_at=NOON) != first
    assert tag(a=1, at=NOON) != tag(a=1, at=NOON + timedelta(seconds=5))
