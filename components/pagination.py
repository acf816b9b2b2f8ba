"""Bounded pages of a list."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet


class FromTheNearerEnd(Paginator):  # type: ignore[type-arg]  # takes none when it runs
    """Of a query whose order leaves nothing open: pages of the second half are read from its end. What comes before a
    page has to be read with it, so the last page would be the dearest; so it costs what the first one does."""

    def page(self, number: int | str) -> "Page[Any]":
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        last = min(first + self.per_page, self.count)
        if first <= self.count // 2:
            return super().page(number)
        found: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return Page([*found.reverse()[self.count - last : self.count - first]][::-1], number, self)


def page_of(rows: Any, size: int, number: str | None) -> "Page[Any]":
    """The page of this number, `last` for the last one; nonsense gives the first. A query of rows must not leave their
    order open."""
    paginator: Paginator[Any] = (FromTheNearerEnd if isinstance(rows, QuerySet) else Paginator)(rows, size)
    return paginator.get_page(paginator.num_pages if number == "last" else number)


def page_of_counted(rows: Any, size: int, number: str | None) -> "Page[Any]":
    """The same in one query, of rows that carry the `total` of all (a window over them). `last`, or a page beyond the
    end, is the last one, with a second query."""
    is_number = number is not None and number.isascii() and number.isdecimal() and len(number) < 7
    wanted = max(int(number), 1) if is_number and number else 1
    found = [] if number == "last" else list(rows[(wanted - 1) * size : wanted * size])
    if not found and (wanted > 1 or number == "last") and (first := rows.first()) is not None:
        wanted = -(-first.total // size)
        found = list(rows[(wanted - 1) * size : wanted * size])
    paginator = Paginator(rows, size)
    paginator.__dict__["count"] = found[0].total if found else 0  # a cached property, which would ask again
    return Page(found, wanted if found else 1, paginator)
