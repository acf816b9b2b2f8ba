"""Puts back what a policy wants put back: the last approved holder of a place, in MLflow.

    claim → look → begin → move → read back → settle

In the manner of delivery: idempotent by value, so that a worker killed between any two steps is resumed by the next one
with the same end state. What was begun is on the incident before the first write; until it is settled, the watch
takes nothing at the model for a change outside Countersign, and delivery's own writes are not ours to undo: a model at
which a delivery is waits.
"""

import contextlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from approvals import ledger, tenures
from approvals.ledger import cut
from approvals.models import Action, AuditEvent, Incident, OutboxEntry, Tenure
from approvals.watch import incidents
from approvals.watch.classification import last_approved
from approvals.workflow import locks
from mirror import clock, identity, sync
from mirror.isolation import alone
from mirror.models import Stage
from mirror.port import (
    UNASKED,
    Denied,
    Grounds,
    NotFound,
    Outdated,
    Registry,
    RegistryError,
    Unreachable,
    VersionSnapshot,
)

logger = structlog.get_logger(__name__)


class ChangedAgain(Exception):
    """The place is no longer as it was found: the next look says what it is now."""


class ClaimLost(Exception):
    """Another worker took over, or the incident was resolved; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class View:
    """What MLflow says of the place now."""

    holders: tuple[int, ...]
    rows: dict[int, VersionSnapshot]
    """Those in the stage; empty of an alias."""


def restore_due(registry: Registry, *, limit: int = 50) -> int:
    """Puts back what is owed and due, later targets first: what was taken out of an earlier one to get there goes home
    with it. Returns how many were looked at."""
    for done in range(limit):
        due = _due().order_by("-target__position", "pk").values_list("pk", flat=True).first()
        if due is None:
            return done
        with alone("watch.not_put_back", incident=due):  # it is released already, and due again later
            restore(due, registry)
    return limit


def restore(pk: int, registry: Registry) -> str:
    """Puts back what one incident owes; returns "put back", "waiting" (MLflow did not answer; it is due again later),
    "changed" (the place is another by now; looked at anew), "refused" (it cannot be done; a person has to) or
    "skipped". Never raises for a RegistryError."""
    # One conditional UPDATE, whose row count tells who won: as a delivery claims its entry.
    token = uuid.uuid4().hex
    won = _due().filter(pk=pk).update(claimed_by=token, lease_expires_at=_lease_end(), attempts=F("attempts") + 1)
    if not won:
        return "skipped"
    incident = Incident.objects.select_related("target", "request").get(pk=pk)
    job = _Job(incident, token, registry)
    try:
        outcome = job.run()
    except ClaimLost:
        outcome = "skipped"
    except ChangedAgain:
        job.give_up("It changed again before it was reverted.")
        outcome = "changed"
    except (Unreachable, Denied, Outdated) as error:
        outcome = job.release(error.message)
    except NotFound:
        # The mirror learns of it at once, so that the page and the next look do.
        _refresh(registry, incident.model_name)
        job.give_up("The approved version no longer exists in MLflow and cannot be restored; promote another version.")
        outcome = "refused"
    except RegistryError as error:
        job.give_up(f"MLflow refused to revert it: {error.message}")
        outcome = "refused"
    except Exception as error:
        job.release(f"Reverting it failed ({type(error).__name__}); see the worker's log.")
        raise
    logger.info("watch.restore", incident=pk, model=incident.model_name, place=incident.place, outcome=outcome)
    return outcome


def _due() -> QuerySet[Incident]:
    """Owed now, held by no worker, and no delivery is at the model."""
    now = clock.now()
    delivering = OutboxEntry.objects.open().filter(
        Q(plan__isnull=False, is_at_rest=False) | Q(lease_expires_at__gt=now)
    )
    return (
        Incident.objects.open()
        .filter(is_owed=True, available_at__lte=now)
        .filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now))
        .exclude(model_name__in=delivering.values("model_name"))
    )


def _lease_end() -> datetime:
    return clock.now() + timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _refresh(registry: Registry, model: str) -> None:
    with contextlib.suppress(RegistryError):
        sync.refresh_model(registry, model)


class _Job:
    def __init__(self, incident: Incident, token: str, registry: Registry) -> None:
        self.incident, self.token, self.registry = incident, token, registry
        self.name, self.place, self.target = incident.model_name, incident.place, incident.target
        self.approved = incident.approved

    @property
    def alias(self) -> str:
        return self.place[1:] if self.place.startswith("@") else ""

    def run(self) -> str:
        # Nothing is put right in another registry, nor by a ledger that does not know of every approval.
        identity.confirm(self.registry, within=identity.OFTEN)
        cut.check(self.registry)
        view = self.look()
        has_begun = "began_at" in self.incident.details
        is_as_found = list(view.holders) == self.incident.after
        # As it was found, as we left it half way, or as another put-back left it. Else a person changed it again: it is
        # judged anew before they are overwritten.
        if not is_as_found and not (has_begun and self._is_between(view)) and not self._went_home(view):
            raise ChangedAgain
        # Do not move this below the first write: by it the watch knows, until it is settled, that the writes are ours.
        self.begin()
        self.move(view)
        asked_at = clock.now()
        back = self.look()
        if list(back.holders) != self.approved:
            raise Unreachable(f"MLflow took the change but does not show it: {self.place} of {self.name}.")
        self.settle(self._touched(back), asked_at)
        return "put back"

    def look(self) -> View:
        if self.alias:
            holder = self.registry.model(self.name).aliases.get(self.alias)
            return View(() if holder is None else (holder,), {})
        listed = {row.number for row in self.registry.versions_in_stage(self.name, self.place)}
        found: dict[int, VersionSnapshot] = {}
        for number in sorted(listed | {*self.approved, *self.incident.after}):  # a listing may be behind
            with contextlib.suppress(NotFound):
                row = self.registry.version(self.name, number)
                if row.stage == self.place:
                    found[number] = row
        return View(tuple(sorted(found)), found)

    def _is_between(self, view: View) -> bool:
        """Whether the place is as a worker of ours may have left it half way."""
        ours = {*self.approved, *self.incident.after}
        return set(view.holders) <= ours

    def _went_home(self, view: View) -> bool:
        """Whether putting back another place of the model has brought this one's holder home."""
        others = Incident.objects.filter(model_name=self.name, resolution=Incident.Resolution.PUT_BACK)
        is_back = list(view.holders) == self.approved
        return is_back and others.filter(resolved_at__gt=self.incident.seen_at).exclude(place=self.place).exists()

    def begin(self) -> None:
        """Written before the first write to MLflow. Raises ClaimLost."""
        details = {**self.incident.details}
        details.setdefault("began_at", clock.now().isoformat())
        if not self._held().update(details=details, lease_expires_at=_lease_end()):
            raise ClaimLost
        self.incident.details = details

    # --- Writing

    def move(self, view: View) -> None:
        if self.alias:
            self._move_alias(view)
            return
        there = set(view.holders)
        for number in self.approved:
            if number not in view.holders:
                alone = self.target.archives_existing and len(self.approved) == 1
                grounds = self._grounds(there)
                self.registry.set_stage(self.name, number, self.place, archive_existing=alone, grounds=grounds)
                there = {number} if alone else there | {number}
        for number in self.incident.after:
            if number in self.approved:
                continue
            with contextlib.suppress(NotFound):
                stage, home = self.registry.version(self.name, number).stage, self._home_of(number)
                if stage == self.place or (stage == Stage.ARCHIVED and home != Stage.ARCHIVED):
                    grounds = self._grounds(there) if stage == self.place else UNASKED
                    self.registry.set_stage(self.name, number, home, archive_existing=False, grounds=grounds)
                    there.discard(number)

    def _grounds(self, there: Iterable[int]) -> Grounds:
        """For a change of the place, in which these are. What asked for it is the watch, and no request."""
        return Grounds(holders={self.place: sorted(there)})

    def _move_alias(self, view: View) -> None:
        grounds = self._grounds(view.holders)
        if self.approved and view.holders != (self.approved[0],):
            self.registry.set_alias(self.name, self.alias, self.approved[0], grounds=grounds)
        elif not self.approved and view.holders:
            self.registry.delete_alias(self.name, self.alias, grounds=grounds)

    def _home_of(self, number: int) -> str:
        """Where an intruder goes: back to the stage that it was taken from, if any, else to the archive."""
        others = Incident.objects.open().filter(model_name=self.name).exclude(place=self.place)
        for other in others.exclude(place__startswith="@").order_by("-pk"):
            if number in other.approved and number not in other.after:
                return other.place
        return str(Stage.ARCHIVED)

    def _touched(self, back: View) -> list[VersionSnapshot]:
        """What MLflow says now of the versions that came and went."""
        if self.alias:
            return []
        found = dict(back.rows)
        for number in self.incident.after:
            if number not in found:
                with contextlib.suppress(NotFound):
                    found[number] = self.registry.version(self.name, number)
        return list(found.values())

    # --- Our side

    @transaction.atomic
    def settle(self, snapshots: list[VersionSnapshot], asked_at: datetime) -> None:
        """Tenures, mirror rows, events and incident in one transaction. Raises ClaimLost."""
        # The target first, as in every verb.
        locks.lock_targets([self.target.pk])
        sync.store_versions(snapshots, asked_at=asked_at)
        if self.alias:
            sync.store_alias(self.name, self.alias, self.approved[0] if self.approved else None)
        incidents.lock(self.name)  # after the mirror's rows, as delivery locks them
        # MLflow's own times of these writes: by them an answer is known that comes from before them (`confirming`).
        written = {str(row.number): _moment(row.last_updated_at) for row in snapshots}
        if not self._held().update(details={**self.incident.details, "written": written}):
            raise ClaimLost
        running = Tenure.objects.open().filter(model_name=self.name, target=self.target, place=self.place)
        left = sorted(running.exclude(version_number__in=self.approved).values_list("version_number", flat=True))
        data = {"place": self.place, "incident": self.incident.pk, "replaced": left}
        there = set(running.values_list("version_number", flat=True))
        came: list[int | None] = [number for number in self.approved if number not in there]
        first: AuditEvent | None = None
        for number in [*came] or [None]:
            basis = last_approved(self.name, self.target.pk, self.place, number) if number else None
            event = ledger.record(
                Action.VERSION_RESTORED,
                actor=None,
                model_name=self.name,
                version_number=number,
                target_name=self.target.name,
                data=data,
            )
            first = first or event
            gone = running.exclude(version_number__in=self.approved)
            # MLflow's clock is not ours: nothing ends before it began.
            gone.filter(started_at__gt=event.at).update(started_at=event.at)
            tenures.finish(gone, at=event.at, how=Tenure.End.RESTORED, sequence=event.sequence)
            if number is not None and basis is not None:
                origin = Tenure.Origin.RESTORED
                tenures.carry_on(basis, name=self.name, at=event.at, sequence=event.sequence, origin=origin)
        incidents.seal(since=first, models=[self.name])
        open_ones = Incident.objects.open().filter(model_name=self.name, target=self.target, place=self.place)
        for incident in open_ones.exclude(kind__in=Incident.BESIDE).select_related("target", "request").order_by("pk"):
            incidents.close(incident, Incident.Resolution.PUT_BACK)

    def release(self, message: str) -> str:
        pause = min(2 ** min(self.incident.attempts - 1, 16), settings.DELIVERY_BACKOFF_CAP_SECONDS)
        self._held().update(
            claimed_by="",
            lease_expires_at=None,
            available_at=clock.now() + timedelta(seconds=pause),
            last_error=message,
        )
        return "waiting"

    def give_up(self, message: str) -> None:
        details = {key: value for key, value in self.incident.details.items() if key != "began_at"}
        self._held().update(
            is_owed=False, claimed_by="", lease_expires_at=None, last_error=message, details=details
        )  # fmt: skip

    def _held(self) -> QuerySet[Incident]:
        return Incident.objects.open().filter(pk=self.incident.pk, claimed_by=self.token, is_owed=True)
