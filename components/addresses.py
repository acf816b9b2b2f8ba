"""Addresses of pages, each made once: a list has hundreds of links, and every page the same twenty."""

from functools import lru_cache

from django.conf import settings
from django.urls import get_script_prefix
from django.urls import reverse as made

KEPT = 8192
"""Addresses; the one that was not asked for longest goes first."""


def reverse(name: str, *args: int | str) -> str:
    """Of the page with this name. Raises NoReverseMatch where none fits."""
    return _kept(get_script_prefix(), name, args)


@lru_cache(maxsize=KEPT, typed=True)
def _kept(prefix: str, name: str, args: tuple[int | str, ...]) -> str:
    return made(name, args=args)


def absolute(path: str) -> str:
    """The address of a path of this site, for whoever is elsewhere: programs, mails, MLflow."""
    return f"{settings.SITE_URL}{path}"
