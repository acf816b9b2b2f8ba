"""What goes wrong with one thing stays with that thing: it is logged and counted, and the next one continues."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from django.db import InterfaceError, OperationalError

logger = structlog.get_logger(__name__)

_failed: ContextVar[list[str] | None] = ContextVar("failed", default=None)


@contextmanager
def alone(event: str, *, but: tuple[type[Exception], ...] = (), **about: object) -> Iterator[None]:
    """Whatever the block raises ends here, with a line `event` in the log that names what it was about. Not so `but`,
    and not so when the database cannot be used: the next one would meet the same.

    The block must not leave a transaction of its caller broken: it opens its own.
    """
    passed_on: tuple[type[Exception], ...] = (OperationalError, InterfaceError, *but)
    try:
        yield
    except passed_on:
        raise
    except Exception as error:
        logger.exception(event, **about)
        if (failed := _failed.get()) is not None:
            failed.append(f"{event}: {error}")


@contextmanager
def counting() -> Iterator[list[str]]:
    """The list gets a sentence for each thing that went wrong in the block."""
    failed: list[str] = []
    token = _failed.set(failed)
    try:
        yield failed
    finally:
        _failed.reset(token)
