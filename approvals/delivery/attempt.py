"""One claimed try at one outbox entry, step by step."""

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from approvals import evidence, tenures
from approvals.delivery import annotation, freezing
from approvals.delivery.settlement import Claim, settle, settle_reopened, settle_unapplied
from approvals.evidence import approval_note
from approvals.models import OutboxEntry, PromotionRequest, Tenure, Verdict
from approvals.policy import Rule
from approvals.selectors import eligibility, frozen_evidence
from mirror import clock, composed, inspection, sync
from mirror.models import ModelVersion
from mirror.port import Grounds, NotFound, Registry, RegistryError, Unreachable, VersionSnapshot

ANNOTATED_AGAIN = 2
"""Times that note and tags are written once more when MLflow does not show them."""


class Stop(Exception):
    """Delivery must not continue: `outcome` and a sentence for the page."""

    def __init__(self, outcome: OutboxEntry.Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


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
    witness: dict[str, str] = field(default_factory=dict)
    """Tags that say how the ledger stood then."""

    stage_before: str = "None"
    """The stage that the version itself had."""


def _running(model_name: str, target: int, place: str) -> QuerySet[Tenure, int]:
    found = Tenure.objects.open().filter(model_name=model_name, target=target, place=place)
    return found.values_list("version_number", flat=True)


class Attempt:
    """`has_begun` is true once stage or alias is moved, by this attempt or an earlier one."""

    def __init__(self, request: PromotionRequest, claim: Claim, registry: Registry) -> None:
        self.request, self.claim, self.registry = request, claim, registry
        self.name, self.number, self.target = request.version.model.name, request.version.number, request.target
        self.has_begun = False

    def begin(self, *, is_again: bool = False) -> tuple[View, Plan]:
        """What MLflow says, and what is to be done; raises a RegistryError. `is_again`: MLflow's gate has found other
        holders than this attempt had, so that of what nothing was moved is planned afresh."""
        view = self.look()
        plan = self.plan(view)
        self.has_begun = self.has_moved(view, plan)
        if is_again and not (self.has_begun or self.claim.entry.ending):
            self.claim.entry.plan = None
            plan = self.plan(view)
        return view, plan

    def run(self, view: View, plan: Plan) -> str:
        """Returns what became of it; raises Stop, ClaimLost or a RegistryError."""
        # What an earlier attempt has begun is finished: it was checked then, and stopping now would leave a half.
        if not self.has_begun:
            self.check(view)
        # Do not move this below the first write. By the plan the next worker knows, when this one is killed, what was
        # there before and that the move is its own; and the watch, that a delivery is at the model.
        self.claim.renew(plan=asdict(plan), is_at_rest=False)
        self.claim.entry.plan = asdict(plan)
        # Before the move, so that no version is ever in its target without its approvers named.
        self.annotate(view.version, plan)
        # Writing may have outlasted the lease: who lost it ends here, and moves nothing.
        self.claim.renew()
        self.move(view)
        # Taken before MLflow is asked: the mirror refuses answers that are older than what it has.
        asked_at = clock.now()
        snapshots = self.read_back(plan)
        settle(
            self.request,
            self.claim,
            snapshots=snapshots,
            asked_at=asked_at,
            champion_before=plan.champion,
            replaced=self.replaced(plan),
        )
        return str(OutboxEntry.Outcome.APPLIED)

    @cached_property
    def archives(self) -> bool:
        """Whether what else is in the stage is archived: as the target says, and always when going back."""
        return bool(self.target.stage) and tenures.takes_alone(self.request, self.target.stage)

    @cached_property
    def is_unreviewed(self) -> bool:
        """An urgent request that needed no one's approval: when something else is there than its author saw, it fails
        and they look again, since there are no reviewers to send it back to."""
        return self.request.is_urgent and not self.request.reviews.live().filter(verdict=Verdict.APPROVE).exists()

    # --- Looking and deciding

    def look(self) -> View:
        """Reads version, facts and holders from MLflow and brings the mirror's row up to date with them."""
        version = sync.refresh_version(self.registry, self.name, self.number)
        self.request.version.refresh_from_db(from_queryset=ModelVersion.objects.select_related("model"))
        in_stage = self.in_stage() if self.target.stage else ()
        alias_holder = self.registry.model(self.name).aliases.get(self.target.alias) if self.target.alias else None
        return View(version, in_stage, alias_holder)

    def in_stage(self) -> tuple[int, ...]:
        """The versions in the target's stage. Where MLflow lists others than the tenures know, each is asked for by
        name: the list may come from a replica that is behind, and what stood there before is told by it."""
        stage = self.target.stage
        found = {each.number for each in self.registry.versions_in_stage(self.name, stage)}
        for number in found ^ set(composed.objects(_running, self.name, self.target.pk, stage)):
            with contextlib.suppress(NotFound):
                is_there = self.registry.version(self.name, number).stage == stage
                found = found | {number} if is_there else found - {number}
        return tuple(sorted(found))

    def plan(self, view: View) -> Plan:
        """The plan of the first attempt that wrote anything, or a fresh one."""
        kept = self.claim.entry.plan
        if kept is None:
            return Plan(view.champion, list(view.in_stage), view.alias_holder, annotation.witness(), view.version.stage)
        return Plan(**kept)

    def has_moved(self, view: View, plan: Plan) -> bool:
        """Whether an earlier attempt has begun the move: the version holds what it did not hold at the first look, and
        carries this request's note, which is written before. What was approved was checked then; now it is finished."""
        gained_stage = self.number in view.in_stage and self.number not in plan.in_stage
        gained_alias = view.alias_holder == self.number != plan.alias_holder
        return (gained_stage or gained_alias) and approval_note.has_note(view.version.description, self.request.pk)

    def check(self, view: View) -> None:
        """Raises Stop when what was approved is not what would be applied."""
        request, version = self.request, view.version
        if version.status != "READY":
            status = f"{version.status} {version.status_message}".strip()
            raise Stop(OutboxEntry.Outcome.FAILED, f"Version {version.number} is not ready in MLflow: {status}.")
        # A version has one stage: promoting it may leave a target empty that it holds by now.
        if vacated := eligibility.would_vacate(request.version, self.target):
            raise Stop(OutboxEntry.Outcome.FAILED, f"{vacated} Nothing was changed.")
        reviewed = request.champion.number if request.champion else None
        if view.champion not in (reviewed, version.number):
            self.confirm(view, reviewed)
            sync.refresh_model(self.registry, self.name)  # the mirror has to know the new champion
            holds = f"version {view.champion} holds" if view.champion else "nothing holds"
            was = f"version {reviewed}" if reviewed else "no version"
            if self.is_unreviewed:
                raise Stop(
                    OutboxEntry.Outcome.FAILED,
                    f"It was to replace {was}, but {holds} {self.target.name} now. Nothing was changed.",
                )
            raise Stop(
                OutboxEntry.Outcome.REOPENED,
                f"Reviewers compared with {was}, but {holds} {self.target.name} now. Nothing was promoted.",
            )
        now = frozen_evidence.frozen_now(request, champion=request.champion)
        # No one decided on its facts where no one reviewed it; the files below count all the same.
        if not self.is_unreviewed and (changed := evidence.differences(request.evidence, now)):
            raise Stop(
                OutboxEntry.Outcome.REOPENED,
                f"This changed after it was reviewed: {frozen_evidence.listed(changed, limit=8)}. "
                "Nothing was promoted.",
            )
        # Last, because it reads every byte.
        self.check_files()
        freezing.check(request)  # one may have begun while the files were read, or between two tries

    def confirm(self, view: View, reviewed: int | None) -> None:
        """Raises Unreachable when these versions, asked for by name, are elsewhere than the list said: it came from a
        replica that is behind, and no one is sent back to review for it."""
        for number in {view.champion, reviewed} - {None} if self.target.stage else ():
            with contextlib.suppress(NotFound):
                stage = self.registry.version(self.name, number or 0).stage
                if (stage == self.target.stage) != (number in view.in_stage):
                    raise Unreachable(f"MLflow's list of versions is behind: version {number} is in {stage}.")

    def check_files(self) -> None:
        """Reads the version's files once more: an approval is for these bytes and no others. Raises Stop when they are
        others, and ClaimLost, or what the registry raises, while they are read."""
        reviewed = json.loads(self.request.evidence)["version"].get("files")
        if reviewed is None:  # asked before files were part of the evidence
            return
        limits: dict[str, Any] = {
            "files_limit_bytes": Rule.from_json(self.request.rule).files_limit_bytes,
            "seconds": settings.INSPECTION_SECONDS,
            "progress": self.claim.renew,
        }
        found = inspection.hash_files(self.registry, self.request.version, **limits)
        if found == reviewed:
            return
        inspection.inspect(self.registry, self.request.version, **limits)  # so that reviewers see what is there now
        if self.request.is_urgent:
            was = "was approved" if self.request.is_rollback else "was read"
            raise Stop(
                OutboxEntry.Outcome.FAILED,
                f"The model's files are not what {was} before: they changed. Nothing was promoted.",
            )
        raise Stop(
            OutboxEntry.Outcome.REOPENED,
            "The model's files changed after it was reviewed. Nothing was promoted, and the approvals are void.",
        )

    # --- Writing

    @cached_property
    def note(self) -> approval_note.Note:
        """Read once: no one reviews what is being delivered."""
        return annotation.note_of(self.request)

    def annotate(self, version: VersionSnapshot, plan: Plan) -> None:
        annotation.write(self.request, version, self.registry, note=self.note, witness=plan.witness)

    def lacks(self, version: VersionSnapshot, plan: Plan) -> str:
        return annotation.lacks(self.request, version, note=self.note, witness=plan.witness)

    def move(self, view: View) -> None:
        """Stage and alias, each only if it is not so already."""
        target, others = self.target, [held for held in view.in_stage if held != self.number]
        if target.stage and (self.number not in view.in_stage or (self.archives and others)):
            grounds = replace(self.grounds(view, target.stage), made=view.version.created_at)
            self.registry.set_stage(
                self.name, self.number, target.stage, archive_existing=self.archives, grounds=grounds
            )
            self.has_begun = True
        if target.alias and view.alias_holder != self.number:
            grounds = replace(self.grounds(view, tenures.alias_place(target.alias)), made=view.version.created_at)
            self.registry.set_alias(self.name, target.alias, self.number, grounds=grounds)
            self.has_begun = True

    def grounds(self, view: View, place: str) -> Grounds:
        """For a change of one place: who held it when it was looked at."""
        alias = [] if view.alias_holder is None else [view.alias_holder]
        return Grounds(self.request.pk, {place: alias if place.startswith("@") else list(view.in_stage)})

    def read_back(self, plan: Plan) -> list[VersionSnapshot]:
        """Reads what MLflow says now, the archived versions included; raises Unreachable when the move, or the note and
        tags, are not to be seen (it is then tried again)."""
        version = self.registry.version(self.name, self.number)
        for _ in range(ANNOTATED_AGAIN):  # a person saved the description, or MLflow took it without effect
            if not self.lacks(version, plan):
                break
            self.annotate(version, plan)
            version = self.registry.version(self.name, self.number)
        is_there = not self.target.stage or version.stage == self.target.stage
        if is_there and self.target.alias:
            is_there = self.registry.model(self.name).aliases.get(self.target.alias) == self.number
        if not is_there:
            raise Unreachable(
                f"MLflow took the change but does not show it: version {self.number}, {self.target.meaning}."
            )
        if lacking := self.lacks(version, plan):
            raise Unreachable(f"MLflow took {lacking} {1 + ANNOTATED_AGAIN} times and does not show it.")
        return [version, *self.beside(plan)]

    def beside(self, plan: Plan) -> list[VersionSnapshot]:
        """What was in the stage before, as MLflow has it now."""
        found = []
        for number in plan.in_stage if self.archives else []:
            if number != self.number:
                with contextlib.suppress(NotFound):  # deleted since; the sweep marks it
                    found.append(self.registry.version(self.name, number))
        return found

    # --- Ending

    def replaced(self, plan: Plan) -> list[tuple[int, str]]:
        """Each version that this promotion replaced, with what happened to it."""
        how: dict[int, str] = {}
        if plan.alias_holder is not None:
            how[plan.alias_holder] = f"lost the alias @{self.target.alias}"
        if self.archives:
            how |= dict.fromkeys(plan.in_stage, "archived")
        how.pop(self.number, None)
        return sorted(how.items())

    def stop(self, stop: Stop) -> str:
        """Ends it unapplied, or back in review; the note is taken back."""
        # Taken back before our side ends it: afterwards no worker comes to this entry again.
        if stop.outcome == OutboxEntry.Outcome.REOPENED:
            annotation.take_back(self.request, self.registry)
            settle_reopened(self.request, self.claim, message=stop.message)
            return str(stop.outcome)
        annotation.take_back(self.request, self.registry)
        settle_unapplied(self.request, self.claim, outcome=stop.outcome, message=stop.message)
        return str(stop.outcome)

    def is_halfway(self, error: RegistryError) -> bool:
        """Whether a part was moved, so that our side has to follow what is there; what is gone leaves nothing to
        follow."""
        return bool(self.claim.entry.ending) or (self.has_begun and not isinstance(error, NotFound))

    def interrupt(self, error: RegistryError) -> str:
        """What becomes of it when MLflow says no, or nothing, to one of the steps, and it is not halfway."""
        if error.may_retry:
            return self.claim.release(error.message)
        return self.stop(Stop(OutboxEntry.Outcome.FAILED, self.sentence_for(error)))

    def sentence_for(self, error: RegistryError) -> str:
        if isinstance(error, NotFound):
            return f"Version {self.number} of {self.name} no longer exists in MLflow."
        if isinstance(error, inspection.TookTooLong):
            return error.message
        return error.message if error.may_retry else f"MLflow refused: {error.message}"
