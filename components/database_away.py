"""Whether the database is away or busy, and what people and programs are told then."""

from django.db import InterfaceError, OperationalError

RETRY_AFTER_SECONDS = 10
SENTENCE = (
    "The database does not answer. Nothing that was sent is lost halfway: it was recorded in full, or not at all."
)


def is_away(error: BaseException | None) -> bool:
    """Whether the database cannot be reached or is busy, so that trying again can help. SQLite reports a table that is
    missing in the same way."""
    if isinstance(error, InterfaceError):
        return True
    return isinstance(error, OperationalError) and not str(error).startswith("no such")
