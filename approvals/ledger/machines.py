"""Who acts where a program does: what `acting` puts around a verb stands in every event that is recorded inside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from accounts.models import ApiToken, plain
from accounts.tokens import Identity
from approvals.models import AuditEvent

KEY = "through"
"""Where it stands in an event's payload."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A program that acts through a token. The event's actor is the person or the service account of the token."""

    token: str
    """Its name."""

    prefix: str
    token_id: int
    owner: str = ""
    """Of a service account: the label of who answers for it, then. "" of a person's own token."""

    address: str = ""
    """The client's."""

    run: str = ""
    """Link to the run of the pipeline, as the program says it."""

    door: str = ""
    """Which API it used, if not the product's own: `Databricks API`."""

    @property
    def owner_name(self) -> str:
        """`Rita Sanz` of `Rita Sanz <rita@example.com>`."""
        return self.owner.partition(" <")[0]

    @property
    def run_host(self) -> str:
        """Where the link leads: what it says of itself is for the program to say."""
        return urlsplit(self.run).hostname or ""

    @property
    def words(self) -> str:
        """Everything in one line, for a table: `API token ci-train (csn_x3aQ9f), owner Rita Sanz <rita@example.com>,
        from 203.0.113.7, pipeline https://ci.example.com/7`."""
        parts = {"owner": self.owner, "by the": self.door, "from": self.address, "pipeline": self.run}
        # A token may be called `x, owner Ada`: the commas here are the line's own.
        return ", ".join(
            [f"API token {plain(self.token)} ({self.prefix})", *(f"{k} {v}" for k, v in parts.items() if v)]
        )


_CURRENT: ContextVar[Machine | None] = ContextVar("machine", default=None)


@contextmanager
def acting(identity: Identity, *, address: str = "", run: str = "", door: str = "") -> Iterator[None]:
    """`with acting(identity, address=…, run=…):` around verbs: their events say through which token they were done.
    `run` is what `accounts.tokens.run_link` let through (of a token that a job got in exchange its issuer says it),
    `door` the API, if not the product's own."""
    token, account = identity.token, identity.user
    owner = account.owner.label if account.is_service_account and account.owner else ""
    run = token.run or run
    before = _CURRENT.set(Machine(token.name, token.prefix, token.pk, owner, address[:45], run, door))
    try:
        yield
    finally:
        _CURRENT.reset(before)


def current() -> Machine | None:
    return _CURRENT.get()


def is_revoked() -> bool:
    """Whether the token of the program that acts was revoked since it was read. One query where one acts."""
    machine = _CURRENT.get()
    return machine is not None and ApiToken.objects.filter(pk=machine.token_id).exclude(revoked_at=None).exists()


def told() -> dict[str, Any]:
    """What an event's payload has of it; nothing where no program acts."""
    machine = _CURRENT.get()
    if machine is None:
        return {}
    fields = ("token", "prefix", "token_id", "owner", "address", "run", "door")
    return {KEY: {name: value for name in fields if (value := getattr(machine, name)) != ""}}


def of(event: AuditEvent) -> Machine | None:
    """The program that acted; None if a person did on a page, or Countersign."""
    found = event.data.get(KEY) if f'"{KEY}":' in event.payload else None
    return Machine(**found) if isinstance(found, Mapping) else None
