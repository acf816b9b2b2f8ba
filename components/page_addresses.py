"""Which addresses are pages, and where to go from one that only takes what a form sends."""

import inspect
from collections.abc import Callable
from typing import Any

from django.urls import Resolver404, resolve, reverse


def is_page(path: str) -> bool:
    """Whether there is a page of ours at this path."""
    try:
        return takes_get(resolve(path).func)
    except Resolver404:
        return False


def takes_get(view: Callable[..., Any]) -> bool:
    """Django's `require_POST` and its like keep the methods in a closure and nowhere else."""
    layer: Any = view
    while layer is not None:
        methods = (
            inspect.getclosurevars(layer).nonlocals.get("request_method_list") if inspect.isfunction(layer) else None
        )
        if methods is not None:
            return "GET" in methods
        layer = getattr(layer, "__wrapped__", None)
    return True


def nearest(path: str) -> str:
    """The page at this path, or else the one closest above it: `/requests/5/` for `/requests/5/review/`."""
    while len(path) > 1:
        if is_page(path):
            return path
        path = path.rstrip("/").rpartition("/")[0] + "/"
    return reverse("approvals:inbox")
