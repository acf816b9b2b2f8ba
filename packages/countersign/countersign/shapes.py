"""The objects of the API, as they come: what is named here is there for years; more may come beside it. Times are ISO
8601 in UTC, `url` is a page for people."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypedDict


class Person(TypedDict):
    name: str
    email: str | None
    kind: str
    """`person` or `service`."""


class Place(TypedDict):
    type: str
    """`stage`, `alias` or `tag`."""

    name: str


class Link(TypedDict):
    id: int
    url: str


class Subject(TypedDict):
    registry: str
    workspace: str
    kind: str
    """So far `model`."""

    model: str


class Model(Subject, total=False):
    description: str
    tags: dict[str, Any]
    newest_version: str | None
    url: str


class Version(Subject, total=False):
    version: str
    places: list[Place]
    run_id: str
    metrics: dict[str, Any]
    params: dict[str, Any]
    tags: dict[str, Any]
    """Parameters and tags of a version that was asked for by its number, not of those in a list."""

    url: str


class Holder(Subject, total=False):
    version: str
    target: str
    places: list[Place]
    how: str
    since: str | None
    until: str | None
    request: Link | None
    url: str | None


class Missing(TypedDict):
    approvals: int
    group: str | None
    """None: of anyone who may review."""

    sentence: str


class PromotionRequest(Subject, total=False):
    id: int
    version: str
    target: str
    status: str
    """`checking`, `pending`, `changes_requested`, `approved`, `applied`, `failed`, `rejected`, `withdrawn` or
    `expired`."""

    status_label: str
    status_reason: str
    is_open: bool
    missing: list[Missing]
    """What approvals it still needs; of those in a list it is not told."""

    revision: str
    """Another one when the status or the missing approvals have changed."""

    justification: str
    replaces: str | None
    """The version that held the target when it was requested."""

    requested_by: Person
    fingerprint: str
    created_at: str
    expires_at: str
    url: str


class Incident(Subject, total=False):
    id: int
    title: str
    target: str
    place: Place
    before: list[str]
    after: list[str]
    seen_at: str
    is_open: bool
    resolved_at: str | None
    url: str


class Event(Subject, total=False):
    sequence: int
    at: str
    action: str
    actor: str
    sentence: str
    data: dict[str, Any]
    record: dict[str, Any]
    """The ledger's row as its hash covers it, and the hash."""


class Token(TypedDict):
    name: str
    prefix: str
    scopes: list[str]
    expires_at: str


class Me(TypedDict):
    user: Person
    owner: Person | None
    """Of a service account."""

    roles: list[str]
    token: Token


@dataclass(frozen=True)
class Evidence:
    content: bytes
    """Canonical JSON, as the fingerprint covers it."""

    fingerprint: str

    @property
    def fits(self) -> bool:
        return hashlib.sha256(self.content).hexdigest() == self.fingerprint

    @property
    def document(self) -> Any:
        return json.loads(self.content)
