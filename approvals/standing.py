"""Reads how things stand from the database and hands it to `policy`: which rule, who is eligible, who did what."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from approvals import evidence, policy
from approvals.models import Policy, PromotionRequest, Review, Target, Verdict
from registry_ui.accounts.models import User
from registry_ui.mirror.models import Alias, ModelVersion, RegisteredModel

REVIEW = "approvals.review_promotion"


@dataclass(frozen=True, slots=True)
class Standing:
    request: PromotionRequest
    rule: policy.Rule
    states: list[policy.SlotState]
    reviews: list[Review]
    """All of them, the voided ones too, oldest first."""
    actions: dict[str, policy.Answer]
    shortage: str
    eligible: Sequence[policy.Reviewer]
    """Everyone who may review at all."""

    stale: str
    """A sentence when what is asked is out of date: the champion or the version's facts have changed since."""

    @property
    def approvals_given(self) -> int:
        return sum(len(state.filled_by) for state in self.states)


def actor_of(user: User) -> policy.Actor:
    return policy.Actor(user.pk, frozenset(user.get_all_permissions()) if user.is_active else frozenset())


def reviewers() -> list[policy.Reviewer]:
    """Everyone who may review now."""
    return [
        policy.Reviewer(user.pk, user.label, frozenset(group.name for group in user.groups.all()))
        for user in User.objects.holding(REVIEW).prefetch_related("groups")
    ]


def rule_from(found: Policy, *, why: str) -> policy.Rule:
    return policy.Rule(
        model_pattern=found.model_pattern,
        slots=tuple(
            policy.SlotRule(slot.approvals, slot.group.name if slot.group else None)
            for slot in sorted(found.slots.all(), key=lambda slot: (slot.position, slot.pk))
        ),
        requires_reason=found.requires_reason,
        open_for_days=found.open_for_days,
        policy_id=found.pk,
        why=why,
    )


def rule_for(model_name: str, target: Target) -> policy.Rule:
    """The rule that a request made now would get, with the reason why it is this one."""
    fitting = policy.applicable(Policy.objects.current().filter(target=target), model_name)
    if not fitting:
        return policy.FALLBACK
    pattern = fitting[0].model_pattern
    why = f"The policy for {pattern} applies to {model_name}"
    why += ": the only one that fits." if len(fitting) == 1 else f": the most specific of the {len(fitting)} that fit."
    return rule_from(fitting[0], why=why)


def holders(model: RegisteredModel, target: Target) -> list[ModelVersion]:
    """The mirrored versions that hold the target now: the champion first.

    Stage before alias (serving code loads `models:/<name>/<stage>`, which is the highest version in the stage).
    """
    found: list[ModelVersion] = []
    if target.stage:
        found += ModelVersion.objects.filter(model=model, stage=target.stage, deleted_at=None).order_by("-number")
    if target.alias:
        alias = Alias.objects.filter(model=model, name=target.alias).first()
        if alias and all(version.number != alias.number for version in found):
            found += ModelVersion.objects.filter(model=model, number=alias.number, deleted_at=None)
    for version in found:
        version.model = model
    return found


def champion_of(model: RegisteredModel, target: Target) -> ModelVersion | None:
    return next(iter(holders(model, target)), None)


def would_vacate(version: ModelVersion, target: Target) -> str:
    """A sentence when the version would leave a later target empty by reaching this one, or ""."""
    higher = _higher_target_held(version, target)
    if higher is None:
        return ""
    return (
        f"Version {version.number} holds {higher.name}, and a version has one stage in MLflow: {higher.name} would "
        f"be left without it. Promote another version to {higher.name} first."
    )


def _higher_target_held(version: ModelVersion, target: Target) -> Target | None:
    """The target later in the row whose stage the version would lose by reaching this one's."""
    if not target.stage or version.stage == target.stage:
        return None
    return Target.objects.current().filter(stage=version.stage, position__gt=target.position).exclude(stage="").first()


def _staleness(request: PromotionRequest, rule: policy.Rule) -> str:
    if request.status != "pending":
        return ""
    frozen = evidence.freeze(version=request.version, champion=request.champion, target=request.target, rule=rule)
    if changed := evidence.differences(request.evidence, frozen):
        listed = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        return f"This changed in MLflow since it was asked: {listed}."
    now = champion_of(request.version.model, request.target)
    if (now.pk if now else None) == request.champion_id:
        return ""
    was = f"version {request.champion.number}" if request.champion else "nothing"
    held = f"Version {now.number} holds" if now else "Nothing holds"
    return f"{held} {request.target.name} now; when this was asked, {was} did."


def of(
    request: PromotionRequest, user: User | None = None, *, eligible: Sequence[policy.Reviewer] | None = None
) -> Standing:
    """How the request stands, for this person (None: for nobody in particular)."""
    eligible = reviewers() if eligible is None else eligible
    rule = policy.Rule.from_json(request.rule)
    found = request.reviews.select_related("reviewer").prefetch_related("reviewer__groups")
    reviews = list(found.order_by("created_at", "pk"))
    live = [review for review in reviews if review.voided_at is None]
    by_id = {person.id: person for person in eligible}
    approvers = [
        _approver(review, by_id, is_decided=request.decided_at is not None)
        for review in live
        if review.verdict == Verdict.APPROVE
    ]
    counted = [person for person in approvers if person is not None]
    states = policy.slot_states(rule, approvers=counted, eligible=eligible, requester_id=request.requester_id)
    own = next((review.get_verdict_display() for review in live if user and review.reviewer_id == user.pk), "")
    stale = _staleness(request, rule)
    facts = policy.RequestFacts(
        status=request.status,
        status_label=request.get_status_display(),
        requester_id=request.requester_id,
        states=states,
        is_overdue=request.is_overdue(timezone.now()),
        own_verdict=own,
        own_groups=by_id[user.pk].groups if user and user.pk in by_id else frozenset(),
        stale=stale,
        vacates=would_vacate(request.version, request.target) if request.status == "pending" else "",
    )
    actor = actor_of(user) if user else policy.Actor(0, frozenset())
    is_waiting = request.status in ("pending", "changes_requested")
    people = [*eligible, *(person for person in counted if person.id not in by_id)]
    shortage = policy.shortage(rule, eligible=people, requester_id=request.requester_id) if is_waiting else ""
    return Standing(request, rule, states, reviews, policy.available_actions(actor, facts), shortage, eligible, stale)


def _approver(review: Review, by_id: dict[int, policy.Reviewer], *, is_decided: bool) -> policy.Reviewer | None:
    """The reviewer as eligible now. An approval given by somebody who no longer may review does not count towards a
    decision that is still open; one that is taken stands as it was signed."""
    person = by_id.get(review.reviewer_id)
    if person is None and is_decided:
        return policy.Reviewer(
            review.reviewer_id, review.reviewer.label, frozenset(g.name for g in review.reviewer.groups.all())
        )
    return person


def lock(request: PromotionRequest) -> PromotionRequest:
    """The request read again and locked for the rest of the transaction (SQLite: the transaction is the lock)."""
    return PromotionRequest.objects.select_for_update(of=("self",)).with_subject().get(pk=request.pk)
