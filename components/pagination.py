"""Bounded pages of a list."""

from typing import Any

from django.core.paginator import Page, Paginator


def page_of(rows: Any, size: int, number: str | None) -> "Page[Any]":
    """The page of this number, `last` for the last one; nonsense gives the first."""
    paginator = Paginator(rows, size)
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
