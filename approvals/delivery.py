"""Pays what the outbox owes: claim, look, check, annotate, move, read back, settle.

Annotate comes before move, so no version is ever in its target without its approvers named. Every step is idempotent by
value, so a worker killed between any two of them is resumed by the next drain with the same end state.
Called by `approvals.tasks` (and by tests) with a registry; nothing else writes to MLflow.
"""

import contextlib
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals import evidence, ledger, outbox, provenance, workflow
from approvals.models import Action, OutboxEntry, PromotionRequest, Status
from approvals.policy import Rule
from registry_ui.mirror import sync
from registry_ui.mirror.registry import (
    DESCRIPTION_LIMIT,
    NotFound,
    Registry,
    RegistryError,
    Unreachable,
    VersionSnapshot,
)

logger = structlog.get_logger(__name__)

TAGS = ("request", "target", "approved_by", "approved_at", "requested_by", "fingerprint", "url")
"""Written to the version as `countersign.<name>`, always the newest promotion's; the ledger has them all."""


class Stop(Exception):
    """Delivery must not go on: `outcome` and a sentence for the page."""

    def __init__(self, outcome: OutboxEntry.Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


class ClaimLost(Exception):
    """The lease ran out and another worker took over; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class View:
    """What MLflow says at the start of an attempt. Numbers are versions of the same model."""

    version: VersionSnapshot
    in_stage: tuple[int, ...]
    alias_holder: int | None

    @property
    def champion(self) -> int | None:
        """Stage before alias; of several in the stage, the one that `models:/<name>/<stage>` loads."""
        return max(self.in_stage, default=self.alias_holder)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the first look found, kept on the outbox row before anything is written, so that a resumed delivery still
    knows what was replaced and whether the move is its own."""

    champion: int | None
    in_stage: list[int]
    alias_holder: int | None


def deliver(entry_id: int, registry: Registry) -> str:
    """Delivers one outbox entry; returns what happened: "applied", "failed", "superseded", "waiting" (MLflow did not
    answer; it is due again later) or "skipped" (not due, closed, or held by another worker). Never raises for a
    RegistryError."""
    token = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    entry = OutboxEntry.objects.claim(entry_id, by=token, lease=_lease())
    if entry is None:
        return "skipped"
    request = PromotionRequest.objects.with_subject().get(pk=entry.request_id)
    attempt = Attempt(request, entry, token, registry)
    try:
        outcome = attempt.run()
    except ClaimLost:
        outcome = "skipped"
    except Stop as stop:
        outcome = attempt.stop(stop)
    except Unreachable as error:
        outcome = attempt.release(error.message)
    except RegistryError as error:
        outcome = attempt.stop(Stop(OutboxEntry.Outcome.FAILED, attempt.sentence_for(error)))
    logger.info(
        "delivery",
        request=request.pk,
        entry=entry.pk,
        correlation_id=str(request.correlation_id),
        attempt=entry.attempts,
        outcome=outcome,
    )
    if outcome in OutboxEntry.Outcome.values:
        outbox.wake_next(entry)
    return outcome


class Attempt:
    """One claimed try at one entry. `done` lists what it wrote, in words, for the page and the ledger; `has_begun` is
    true once stage or alias is moved, by this attempt or an earlier one."""

    def __init__(self, request: PromotionRequest, entry: OutboxEntry, token: str, registry: Registry) -> None:
        self.request, self.entry, self.token, self.registry = request, entry, token, registry
        self.name, self.number, self.target = request.version.model.name, request.version.number, request.target
        self.done: list[str] = []
        self.has_begun = False

    def run(self) -> str:
        view = self.look()
        plan = self.plan(view)
        self.has_begun = self.has_moved(view, plan)
        if not self.has_begun:
            self.check(view)
        self.renew()
        self.annotate(view.version)
        self.renew()
        self.move(view)
        asked_at = timezone.now()
        self.settle(plan, self.read_back(plan), asked_at)
        return str(OutboxEntry.Outcome.APPLIED)

    # --- Looking and deciding

    def look(self) -> View:
        """Reads version, facts and holders from MLflow and brings the mirror's row up to date with them."""
        version = sync.refresh_version(self.registry, self.name, self.number)
        self.request.version.refresh_from_db()
        in_stage = self.registry.versions_in_stage(self.name, self.target.stage) if self.target.stage else []
        alias_holder = self.registry.model(self.name).aliases.get(self.target.alias) if self.target.alias else None
        return View(version, tuple(sorted(held.number for held in in_stage)), alias_holder)

    def plan(self, view: View) -> Plan:
        """The plan of the first attempt, or a fresh one, stored before the first write."""
        if self.entry.plan is not None:
            return Plan(**self.entry.plan)
        plan = Plan(view.champion, list(view.in_stage), view.alias_holder)
        OutboxEntry.objects.filter(pk=self.entry.pk).update(plan=asdict(plan))
        return plan

    def has_moved(self, view: View, plan: Plan) -> bool:
        """Whether an earlier attempt has begun the move: the version holds what it did not hold at the first look, and
        carries this request's note, which is written before. What was approved was checked then; now it is finished."""
        gained_stage = self.number in view.in_stage and self.number not in plan.in_stage
        gained_alias = view.alias_holder == self.number != plan.alias_holder
        return (gained_stage or gained_alias) and provenance.has_note(view.version.description, self.request.pk)

    def check(self, view: View) -> None:
        """Raises Stop when what was approved is not what would be applied."""
        request, version = self.request, view.version
        if version.status != "READY":
            status = f"{version.status} {version.status_message}".strip()
            raise Stop(OutboxEntry.Outcome.FAILED, f"Version {version.number} is not ready in MLflow: {status}.")
        reviewed = request.champion.number if request.champion else None
        if view.champion not in (reviewed, version.number):
            holds = f"version {view.champion} holds" if view.champion else "nothing holds"
            was = f"version {reviewed}" if reviewed else "no version"
            message = f"Reviewers compared with {was}, but {holds} {self.target.name} now. Nothing was promoted."
            raise Stop(OutboxEntry.Outcome.SUPERSEDED, message)
        now = evidence.freeze(
            version=request.version, champion=request.champion, target=self.target, rule=Rule.from_json(request.rule)
        )
        if changed := evidence.differences(request.evidence, now):
            listed = ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
            message = f"This changed after it was reviewed: {listed}. Nothing was promoted; it needs a new review."
            raise Stop(OutboxEntry.Outcome.FAILED, message)

    # --- Writing

    def annotate(self, version: VersionSnapshot) -> None:
        note = note_of(self.request)
        description = provenance.with_note(version.description, note, limit=DESCRIPTION_LIMIT)
        if description != version.description:
            self.registry.set_description(self.name, self.number, description)
        for key, value in tags_of(self.request, note).items():
            if version.tags.get(key) != value:
                self.registry.set_tag(self.name, self.number, key, value)
        self.done.append("the approval note was written")

    def move(self, view: View) -> None:
        """Stage and alias, each only if it is not so already."""
        target, others = self.target, [held for held in view.in_stage if held != self.number]
        if target.stage and (self.number not in view.in_stage or (target.archives_existing and others)):
            self.registry.set_stage(self.name, self.number, target.stage, archive_existing=target.archives_existing)
            self.has_begun = True
            self.done.append(f"the stage was set to {target.stage}")
        if target.alias and view.alias_holder != self.number:
            self.registry.set_alias(self.name, target.alias, self.number)
            self.has_begun = True
            self.done.append(f"the alias @{target.alias} was set")

    def read_back(self, plan: Plan) -> list[VersionSnapshot]:
        """Reads what MLflow says now; raises Unreachable when the move is not to be seen (it is then tried again)."""
        version = self.registry.version(self.name, self.number)
        is_there = not self.target.stage or version.stage == self.target.stage
        if is_there and self.target.alias:
            is_there = self.registry.model(self.name).aliases.get(self.target.alias) == self.number
        if not is_there:
            raise Unreachable(f"MLflow took the change but does not show it: version {self.number}, {self.target.meaning}.")
        return [version, *self._read_archived(plan)]

    def _read_archived(self, plan: Plan) -> list[VersionSnapshot]:
        found = []
        for number in plan.in_stage if self.target.archives_existing else []:
            if number != self.number:
                with contextlib.suppress(NotFound):  # deleted since; the sweep marks it
                    found.append(self.registry.version(self.name, number))
        return found

    # --- Ending

    def settle(self, plan: Plan, snapshots: list[VersionSnapshot], asked_at: datetime) -> None:
        """One transaction on our side: request, outbox, mirror rows, one event for the promotion and one for each version
        that it replaced. Raises ClaimLost when another worker has settled."""
        request = self.request
        with transaction.atomic():
            self._close(OutboxEntry.Outcome.APPLIED)
            self._move_request(Status.APPLIED, "")
            sync.store_versions(snapshots, asked_at=asked_at)
            if self.target.alias:
                sync.store_alias(self.name, self.target.alias, self.number)
            allowed_by = workflow.approver_labels(request)
            ledger.record(
                Action.VERSION_PROMOTED,
                actor=None,
                correlation_id=request.correlation_id,
                request=request,
                allowed_by=allowed_by,
                data={
                    "stage": self.target.stage,
                    "alias": self.target.alias,
                    "replaced": plan.champion if plan.champion != self.number else None,
                    "requested_by": request.requester.label,
                    "fingerprint": request.fingerprint,
                    "attempts": self.entry.attempts,
                },
            )
            for number, how in self._replaced(plan):
                ledger.record(
                    Action.VERSION_REPLACED,
                    actor=None,
                    correlation_id=request.correlation_id,
                    request=request,
                    model_name=self.name,
                    version_number=number,
                    allowed_by=allowed_by,
                    data={"by": self.number, "how": how},
                )

    def _replaced(self, plan: Plan) -> list[tuple[int, str]]:
        how: dict[int, str] = {}
        if plan.alias_holder is not None:
            how[plan.alias_holder] = f"lost the alias @{self.target.alias}"
        if self.target.archives_existing:
            how |= dict.fromkeys(plan.in_stage, "archived")
        how.pop(self.number, None)
        return sorted(how.items())

    def stop(self, stop: Stop) -> str:
        """Closes the entry unapplied. The note is taken back unless the version has reached the target, wholly or half."""
        is_failed = stop.outcome == OutboxEntry.Outcome.FAILED
        if self.has_begun:
            message = f"{stop.message} Before that, {' and '.join(self.done) or 'an earlier attempt had begun the move'}."
        else:
            message = stop.message
            self._take_back_note()
        try:
            with transaction.atomic():
                self._close(stop.outcome, last_error=message, **({} if self.has_begun else {"plan": None}))
                self._move_request(Status.FAILED if is_failed else Status.SUPERSEDED, message)
                ledger.record(
                    Action.DELIVERY_FAILED if is_failed else Action.DELIVERY_SUPERSEDED,
                    actor=None,
                    correlation_id=self.request.correlation_id,
                    request=self.request,
                    allowed_by=workflow.approver_labels(self.request),
                    data={"reason": message, "attempts": self.entry.attempts},
                )
        except ClaimLost:
            return "skipped"
        return str(stop.outcome)

    def _take_back_note(self) -> None:
        """Removes this request's note and tags, which an attempt may have written before delivery was stopped.

        Best effort: without an answer from MLflow the note stays, and the ledger says that nothing was promoted.
        """
        try:
            version = self.registry.version(self.name, self.number)
            if provenance.has_note(version.description, self.request.pk):
                text = provenance.without_note(version.description, self.request.pk)
                self.registry.set_description(self.name, self.number, text)
            if version.tags.get(f"{evidence.OWN_TAG}request") == str(self.request.pk):
                for key in (f"{evidence.OWN_TAG}{tag}" for tag in TAGS):
                    if key in version.tags:
                        self.registry.delete_tag(self.name, self.number, key)
        except NotFound:
            pass  # gone with the version
        except RegistryError as error:
            logger.warning("delivery.note_left_behind", request=self.request.pk, error=error.message)

    def release(self, message: str) -> str:
        """MLflow did not answer: the entry is due again after a pause that doubles up to the cap."""
        now = timezone.now()
        pause = min(2 ** min(self.entry.attempts - 1, 16), settings.DELIVERY_BACKOFF_CAP_SECONDS)
        self._held().update(
            claimed_by="",
            lease_expires_at=None,
            available_at=now + timedelta(seconds=pause),
            waiting_since=self.entry.waiting_since or now,
            last_error=message,
        )
        return "waiting"

    def renew(self) -> None:
        """Raises ClaimLost when another worker has taken over."""
        if not self._held().update(lease_expires_at=timezone.now() + _lease()):
            raise ClaimLost

    def sentence_for(self, error: RegistryError) -> str:
        if isinstance(error, NotFound):
            return f"Version {self.number} of {self.name} no longer exists in MLflow."
        return f"MLflow refused: {error.message}"

    def _held(self) -> QuerySet[OutboxEntry]:
        return OutboxEntry.objects.filter(pk=self.entry.pk, claimed_by=self.token, closed_at=None)

    def _close(self, outcome: OutboxEntry.Outcome, **fields: Any) -> None:
        if not self._held().update(closed_at=timezone.now(), outcome=outcome, lease_expires_at=None, **fields):
            raise ClaimLost

    def _move_request(self, to: Status, reason: str) -> None:
        if not PromotionRequest.objects.filter(pk=self.request.pk).move(to, status_reason=reason):
            raise ClaimLost


def note_of(request: PromotionRequest) -> provenance.Note:
    if request.decided_at is None:
        raise RuntimeError(f"{request} is not decided.")
    return provenance.Note(request.pk, request.target.name, workflow.approver_labels(request), request.decided_at)


def tags_of(request: PromotionRequest, note: provenance.Note) -> dict[str, str]:
    """The same facts as the note, as MLflow tags."""
    values = (
        str(request.pk),
        request.target.name,
        ", ".join(note.approvers),
        note.approved_at.isoformat(timespec="seconds"),
        request.requester.label,
        request.fingerprint,
        f"{settings.SITE_URL}{request.get_absolute_url()}",
    )
    return {f"{evidence.OWN_TAG}{name}": value for name, value in zip(TAGS, values, strict=True)}


def _lease() -> timedelta:
    return timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)


def drain(registry: Registry, *, limit: int = 500) -> int:
    """Delivers what is due, oldest first, until nothing is or `limit` is reached; returns how many were looked at.

    This is what finds the rows whose hint was lost: with the broker, or with a killed worker.
    """
    for done in range(limit):
        due = OutboxEntry.objects.due(timezone.now()).order_by("pk").values_list("pk", flat=True).first()
        if due is None:
            return done
        deliver(due, registry)
    return limit
