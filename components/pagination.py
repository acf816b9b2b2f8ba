"""Bounded pages of a list."""

from typing import Any

from django.core.paginator import Page, Paginator


def page_of(rows: Any, size: int, number: str | None) -> "Page[Any]":
    """The page of this number, `last` for the last one; nonsense gives the first."""
    paginator = Paginator(rows, size)
    return paginator.get_page(paginator.num_pages if number == "last" else number)
