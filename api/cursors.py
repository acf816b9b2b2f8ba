"""Pages of long lists: a bounded number of rows after the last one that the client has, found along an index, so page
1,000 costs what page one does. The cursor is opaque and signed: what comes back is what was handed out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path
from ninja import Query

from api.problems import Problem
from components import addresses

FIRST, MOST = 50, 200
T = TypeVar("T")
M = TypeVar("M", bound=Model)

Limit = Annotated[int, Query(FIRST, ge=1, le=MOST, description="Rows of one page.")]
Cursor = Annotated[str, Query("", max_length=4096, description="`next` of the page before.")]

_SIGNER = signing.Signer(salt="api.cursors")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    next: str | None
    """The cursor of the page after this one; None at the end."""


def page(found: "QuerySet[M]", key: str, *, limit: int, cursor: str) -> Page[M]:
    """`key` is a unique column of `found`, with "-" in front for descending. One query. Raises Problem 422 for a cursor
    that is not of such a list."""
    name, is_down = key.removeprefix("-"), key.startswith("-")
    after = read(cursor, key)
    if after is not None:
        found = found.filter(**{f"{name}__{'lt' if is_down else 'gt'}": after})
    return cut(list(found.order_by(key)[: limit + 1]), key, limit=limit, of=lambda row: getattr(row, name))


def cut(rows: Sequence[T], key: str, *, limit: int, of: Any) -> Page[T]:
    """A page out of one row more than it shows, where there is one; `of(row)` is where the row stands."""
    items = rows[:limit]
    return Page(items, write(of(items[-1]), key) if len(rows) > limit else None)


def write(place: Any, key: str) -> str:
    """`place` is what JSON has; `key` says of what list."""
    packed = signing.b64_encode(json.dumps([key, place], ensure_ascii=False).encode()).decode()
    return _SIGNER.sign(packed).replace(":", ".")


def read(cursor: str, key: str) -> Any:
    """The place in it; None for none. Raises Problem 422 for what was not written for this list."""
    if not cursor:
        return None
    try:
        packed = _SIGNER.unsign(":".join(cursor.rsplit(".", 1)))
        known, place = json.loads(signing.b64_decode(packed.encode()))
    except (signing.BadSignature, ValueError) as error:
        raise _nonsense() from error
    if known != key:
        raise _nonsense()
    return place


def _nonsense() -> Problem:
    detail = "This cursor is not one of this list. Begin without one."
    return Problem(422, "bad_cursor", detail, errors=[{"pointer": "/query/cursor", "detail": detail}])


def listed(request: HttpRequest, response: HttpResponse, page: Page[Any], items: Sequence[Any]) -> dict[str, Any]:
    """The body of a list, of which `items` are the rows of the page as they are shown; the header `Link` has the
    address of the page after it."""
    if page.next is not None:
        query = request.GET.copy()
        query["cursor"] = page.next
        address = addresses.absolute(f"{escape_uri_path(request.path)}?{query.urlencode()}")
        response["Link"] = f'<{address}>; rel="next"'
    return {"items": items, "next": page.next}
