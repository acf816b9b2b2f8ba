"""Every call of the registry port, told to who listens when it is over: how long it took, and what came of it."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from django.dispatch import Signal

from mirror import tracing
from mirror.port import Denied, NotFound, Outdated, Refused, Registry, Unreachable

called = Signal()
"""Sent with `call`, the method's name; `outcome`; and `seconds`, for lists that come in pages without what is done
between them."""

OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (Unreachable, "unreachable"),
    (NotFound, "not_found"),
    (Denied, "denied"),
    (Outdated, "outdated"),
    (Refused, "refused"),
)
"""The first that fits; else "ok", or "error" for one of our own."""


def told(registry: Registry) -> Registry:
    """The same registry, whose calls are told."""
    return cast("Registry", _Told(registry))


class _Told:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._registry, name)
        if name == "unsigned":
            return lambda: told(found())
        return partial(_call, name, found) if callable(found) else found


def _call(name: str, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    watch = _Watch()
    try:
        found = watch.time(lambda: method(*arguments, **named))
    except Exception as error:  # which goes on
        _tell(name, watch, error)
        raise
    if isinstance(found, Iterator):
        return _pages(name, found, watch)
    _tell(name, watch)
    return found


def _pages(name: str, pages: Iterator[Any], watch: "_Watch") -> Iterator[Any]:
    """Over with the last page, an error, or when no one asks for another."""
    failure: Exception | None = None
    try:
        while (page := watch.time(lambda: next(pages, _END))) is not _END:
            yield page
    except Exception as error:
        failure = error
        raise
    finally:
        _tell(name, watch, failure)


_END = object()


class _Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds += time.perf_counter() - started


def _tell(name: str, watch: _Watch, error: Exception | None = None) -> None:
    outcome = "ok" if error is None else next((word for kind, word in OUTCOMES if isinstance(error, kind)), "error")
    tracing.past(f"mlflow {name}", watch.seconds, outcome=outcome)
    called.send(Registry, call=name, outcome=outcome, seconds=watch.seconds)
