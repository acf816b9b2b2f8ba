"""What a filled registry consists of: how many models, which requests of which versions, and how each of them ends."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bench.bulk import Values

EACH = 50
WIDE = "wide_model"
WIDE_VERSIONS = 10_000
"""One model has so many versions, or half of all where that is less."""

WIDE_EVERY = 100
"""Each hundredth request is of that model."""

WAITING = 500
"""Requests that wait for a review, or a quarter of all where that is less."""

DAYS = 300
OPEN_EVENTS = 6
"""Events of a request that waits: as many in every size, so that its page is the same."""

LIFE = 8
"""Events of a promotion."""

INCIDENT_EVERY = 50


PLACES = ("Production", "@champion")
REASON = "Better on the October data."
COMMENT = "Looks good on the October data."


@dataclass(frozen=True, slots=True)
class Sizes:
    """All zero: an installation that has just begun, with one model, two versions and one request."""

    versions: int = 0
    requests: int = 0
    events: int = 0

    @property
    def each(self) -> int:
        return EACH if self.versions else 2

    @property
    def wide(self) -> int:
        return min(WIDE_VERSIONS, self.versions // 2 // EACH * EACH)

    @property
    def models(self) -> int:
        """Without the one with many versions."""
        return max((self.versions - self.wide) // self.each, 1)

    @property
    def waiting(self) -> int:
        return min(WAITING, self.requests // 4) if self.requests else 1

    @property
    def asked(self) -> int:
        return max(self.requests, 1)


@dataclass(slots=True)
class Model:
    index: int
    name: str
    versions: int
    first_id: int
    """Of version 1; the others follow."""

    holder: int = 0
    """Number of the version that holds Production now, in the time of the story."""

    open_tenures: list[Values] = field(default_factory=list)
    asked: int = 0
    """Requests so far."""

    @property
    def champion(self) -> int:
        """Number of the version that holds Production in the end."""
        return self.versions - 1

    def version_id(self, number: int) -> int:
        return self.first_id + number - 1


@dataclass(slots=True)
class Asked:
    """One request."""

    pk: int
    model: Model
    number: int
    status: str
    events: int
    correlation: uuid.UUID
    fingerprint: str = ""
    champion: int = 0
    created_at: Any = None
    approvals: list[Any] = field(default_factory=list)
    closed_at: Any = None
    is_commented: bool = False

    @property
    def is_open(self) -> bool:
        return self.status == "pending"


def made_at(begins: datetime, number: int) -> datetime:
    """When a version was made: before anything was asked."""
    return begins - timedelta(days=50) + timedelta(minutes=number)


def models_of(sizes: Sizes) -> list[Model]:
    """The one with many versions is the last."""
    made = [Model(index, f"model_{index:05}", sizes.each, index * sizes.each + 1) for index in range(sizes.models)]
    if sizes.wide:
        made.append(Model(sizes.models, WIDE, sizes.wide, sizes.models * sizes.each + 1))
    return made


def plan(sizes: Sizes, models: Sequence[Model], random: Random) -> list[Asked]:
    """In the order in which they are asked; what waits comes last. Says of each model what holds it at first."""
    made = []
    decided = sizes.asked - sizes.waiting
    of = [_model_of(index, sizes, models) for index in range(sizes.asked)]
    total: dict[str, int] = {}
    for model in of[:decided]:
        total[model.name] = total.get(model.name, 0) + 1
    found = 2 * len(models)
    left = max(sizes.events - found - OPEN_EVENTS * sizes.waiting, LIFE * decided)
    for index, model in enumerate(of):
        model.asked += 1
        if index < decided:
            is_last = model.asked == total[model.name]
            # The last one is what the mirror shows in Production; the others lead up to it.
            number = max(1, model.champion - (total[model.name] - model.asked))
            ending = "rejected" if index % 20 == 3 else "withdrawn" if index % 20 == 13 else "applied"
            status = "applied" if is_last else ending
            events = left // decided + (index < left % decided)
        else:
            # The newest version of every other model is one that nobody has asked for, whatever the size.
            order = model.asked - total.get(model.name, 0) - 1 + (sizes.models > 1 and model.index % 2)
            number = model.versions if order == 0 else model.versions - 1 - order
            status, events = "pending", OPEN_EVENTS
        made.append(Asked(index + 1, model, number, status, events, uuid.UUID(int=random.getrandbits(128))))
    for model in models:
        earlier = total.get(model.name, 0)
        model.holder = max(1, model.champion - earlier)
    return made


def _model_of(index: int, sizes: Sizes, models: Sequence[Model]) -> Model:
    if sizes.wide and index % WIDE_EVERY == WIDE_EVERY - 1:
        return models[-1]
    return models[(index - index // WIDE_EVERY * bool(sizes.wide)) % sizes.models]
