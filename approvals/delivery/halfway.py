"""A delivery of which MLflow has done a part and refuses the rest: our side follows what is there, and it is tried
again until it is whole, or until a person has it put back or accepts it as it is."""

import contextlib

from django.db import transaction
from django.db.models import F, OuterRef, Subquery

from approvals import ledger, tenures, workflow
from approvals.delivery import annotation
from approvals.delivery.attempt import Attempt, Plan, View
from approvals.delivery.settlement import settle, settle_half, settle_reverted
from approvals.models import Action, OutboxEntry, PromotionRequest, Status
from approvals.workflow import locks, outbox
from mirror import clock
from mirror.port import Grounds, NotFound, RegistryError, Unreachable, VersionSnapshot

Ending = OutboxEntry.Ending


class Halfway:
    """What an attempt does when the move has begun and does not continue, or a person has said how it ends."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.request, self.claim, self.registry = attempt.request, attempt.claim, attempt.registry
        self.name, self.number, self.target = attempt.name, attempt.number, attempt.target

    def rest(self, error: RegistryError) -> str:
        """Looks what there is, keeps it, and gives the entry back; where MLflow shows nothing now, as it is. Never
        raises for a RegistryError."""
        message, asked_at = self.attempt.sentence_for(error), clock.now()
        try:
            view = self.attempt.look()
            plan = self.attempt.plan(view)
            beside = self.attempt.beside(plan)
        except RegistryError:
            return self.claim.release(message)
        reached = self.reached(view)
        # A person has said how it ends: nothing is told of the half anew, only whether the watch may judge the model.
        if self.claim.entry.ending:
            is_as_known = set(reached) == set(self.claim.entry.reached)
            return self.claim.release(message, is_at_rest=is_as_known)
        # Nothing of it is there; or what else is in a stage that it is to have alone, tenures could not tell beside it.
        if not reached or self._is_shared(view):
            return self.claim.release(message)
        missing = [self.named(place) for place in tenures.places_of(self.target) if place not in reached]
        if lacking := self.attempt.lacks(view.version, plan):
            missing.append(lacking)
        return settle_half(
            self.request,
            self.claim,
            snapshots=[view.version, *beside],
            asked_at=asked_at,
            reached=reached,
            missing=missing,
            message=message,
        )

    def reached(self, view: View) -> list[str]:
        """The places of the target that the version has."""
        target, found = self.target, []
        if target.stage and self.number in view.in_stage:
            found.append(target.stage)
        if target.alias and view.alias_holder == self.number:
            found.append(tenures.alias_place(target.alias))
        return found

    def _is_shared(self, view: View) -> bool:
        """Whether something else is in the stage that it is to have alone."""
        return self.attempt.archives and any(held != self.number for held in view.in_stage)

    def named(self, place: str) -> str:
        return f"the alias {place}" if place.startswith("@") else f"the stage {place}"

    # --- Ended by a person

    def end(self, view: View, plan: Plan) -> str:
        """Returns "applied" or "failed"; raises ClaimLost or a RegistryError."""
        if self.claim.entry.ending == Ending.ACCEPT:
            return self._accept(view, plan)
        return self._put_back(view, plan)

    def _accept(self, view: View, plan: Plan) -> str:
        asked_at, reached = clock.now(), self.reached(view)
        settle(
            self.request,
            self.claim,
            snapshots=[view.version, *self.attempt.beside(plan)],
            asked_at=asked_at,
            champion_before=plan.champion,
            replaced=self.attempt.replaced(plan),
            accepted=f"Accepted without {' and '.join(self.claim.entry.missing)}: {self._said()}",
            reached=reached,
        )
        return str(OutboxEntry.Outcome.APPLIED)

    def _put_back(self, view: View, plan: Plan) -> str:
        """Alias and stage, each where it is still as the partial delivery left it."""
        # Before the first write: the watch passes over a model at which something is being moved.
        self.claim.renew(is_at_rest=False)
        target, aliases = self.target, {}
        if target.alias and view.alias_holder == self.number != plan.alias_holder:
            aliases[target.alias] = plan.alias_holder
            grounds = self.attempt.grounds(view, tenures.alias_place(target.alias))
            if plan.alias_holder is None:
                self.registry.delete_alias(self.name, target.alias, grounds=grounds)
            else:
                self.registry.set_alias(self.name, target.alias, plan.alias_holder, grounds=grounds)
        is_moved = bool(target.stage) and self.number in view.in_stage and self.number not in plan.in_stage
        if is_moved:
            # What was there comes back before this one leaves, so that the stage is never empty.
            there = set(view.in_stage)
            for held in plan.in_stage:
                if held not in view.in_stage:
                    with contextlib.suppress(NotFound):  # deleted since
                        self._set_stage(held, target.stage, there)
                        there.add(held)
            self._set_stage(self.number, plan.stage_before, there)
        annotation.take_back(self.request, self.registry)
        asked_at = clock.now()
        version = self.registry.version(self.name, self.number)
        self._check_gone(version, is_moved=is_moved)
        settle_reverted(
            self.request,
            self.claim,
            snapshots=[version, *self.attempt.beside(plan)],
            asked_at=asked_at,
            aliases=aliases,
            message=f"Partly delivered, and undone: {self._said()}",
        )
        return str(OutboxEntry.Outcome.FAILED)

    def _set_stage(self, number: int, stage: str, there: set[int]) -> None:
        """`there`: what is in the target's stage, into which it comes or which it leaves."""
        grounds = Grounds(self.request.pk, {self.target.stage: sorted(there)})
        self.registry.set_stage(self.name, number, stage, archive_existing=False, grounds=grounds)

    def _check_gone(self, version: VersionSnapshot, *, is_moved: bool) -> None:
        alias, held = self.target.alias, self.registry.model(self.name).aliases
        if (is_moved and version.stage == self.target.stage) or (alias and held.get(alias) == self.number):
            raise Unreachable(f"MLflow took the change back but still shows it: version {self.number}.")

    def _said(self) -> str:
        decided = self.request.events.filter(action=Action.DELIVERY_ENDED).order_by("-sequence").first()
        return str(decided.data["reason"]) if decided else ""


def resume_what_failed() -> int:
    """Tries again what an earlier version of Countersign called failed after the move had begun: what it left in MLflow
    is not forgotten. Returns how many."""
    last = OutboxEntry.objects.filter(request=OuterRef("pk")).order_by("-pk")
    begun = PromotionRequest.objects.filter(status=Status.FAILED).annotate(plan=Subquery(last.values("plan")[:1]))
    return sum(_resume(request) for request in begun.filter(plan__isnull=False).order_by("pk"))


@transaction.atomic
def _resume(request: PromotionRequest) -> bool:
    request = locks.lock_request(request)
    moved = PromotionRequest.objects.filter(pk=request.pk, status=Status.FAILED)
    if not moved.move(Status.APPROVED, status_reason="", decided_at=F("decided_at")):
        return False
    entry = outbox.enqueue(request)
    allowed = workflow.approver_labels(request)
    ledger.record(Action.DELIVERY_RETRIED, actor=None, request=request, allowed_by=allowed, rows=[entry])
    return True
