"""Reads how things stand from the database and hands it to `policy`: which rule, who is eligible, who did what."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from approvals import evidence, policy
from approvals.models import CheckResult, Policy, PromotionRequest, Review, Status, Target, Verdict
from approvals.models.requests import UNDECIDED, AfterVerdict, RequestKind
from mirror.models import Alias, ModelVersion, RegisteredModel

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

    excluded: frozenset[int]
    """Who has no say here: the requester, and contributors where the rule excludes them."""

    checks: list[CheckResult]
    """The results that stand now, in the rule's order."""

    stale: str
    """A sentence when what is asked is out of date: the champion or the version's facts have changed since."""

    unanswered: str = ""
    """A sentence when nobody can approve, because nobody answers for the service account that asked."""

    @property
    def approvals_given(self) -> int:
        return sum(len(state.filled_by) for state in self.states)

    @property
    def blocking(self) -> list[CheckResult]:
        return [check for check in self.checks if check.blocks]

    @property
    def counted(self) -> set[int]:
        """Ids of those whose approval can fill a slot."""
        return {person.id for state in self.states for person in state.filled_by}


def actor_of(user: User) -> policy.Actor:
    permissions = frozenset(user.get_all_permissions()) if user.is_active else frozenset()
    return policy.Actor(
        user.pk, permissions, is_service_account=user.is_service_account, is_answered_for=user.is_answered_for
    )


def reviewers() -> list[policy.Reviewer]:
    """Everyone who may review now. Service accounts never sign."""
    people = User.objects.holding(REVIEW).filter(is_service_account=False).prefetch_related("groups")
    return [
        policy.Reviewer(
            user.pk,
            user.label,
            frozenset(group.name for group in user.groups.all()),
            names=user.known_as,
        )
        for user in people
    ]


def rule_from(found: Policy, *, why: str) -> policy.Rule:
    return policy.Rule.from_json({**found.terms, "policy_id": found.pk, "policy_version": found.version, "why": why})


def rule_for(model_name: str, target: Target) -> policy.Rule:
    """The rule that a request made now would get, with the reason why it is this one."""
    return rule_among(Policy.objects.current().filter(target=target), model_name)


def rule_among(policies: Iterable[Policy], model_name: str) -> policy.Rule:
    """The same of these policies of one target, in their order."""
    fitting = policy.applicable(policies, model_name)
    if not fitting:
        return policy.FALLBACK
    pattern = fitting[0].model_pattern
    why = f"The policy for {pattern} applies to {model_name}"
    why += ": the only one that fits." if len(fitting) == 1 else f": the first of the {len(fitting)} that fit."
    return rule_from(fitting[0], why=why)


def is_same_policy(made_under: dict[str, Any], now: policy.Rule) -> bool:
    """Whether a request's rule is this policy, in this version."""
    return (made_under.get("policy_id"), made_under.get("policy_version")) == (now.policy_id, now.policy_version)


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


def champion_for(request: PromotionRequest) -> ModelVersion | None:
    """What the request is compared with. A review afterwards is of a version that holds the target already: it is
    compared with the last approved holder, unless yet another one holds the target by now."""
    holder = champion_of(request.version.model, request.target)
    if request.kind == RequestKind.RETROACTIVE and (holder is None or holder.pk == request.version_id):
        return request.champion
    return holder


def would_vacate(version: ModelVersion, target: Target) -> str:
    """A sentence when the version would leave a later target empty by reaching this one, or ""."""
    higher = _higher_target_held(version, target)
    if higher is None:
        return ""
    return (
        f"Version {version.number} holds {higher.name}, and a version has one stage in MLflow: {higher.name} would "
        f"be left without it. Promote another version to {higher.name} first."
    )


def gone(version: ModelVersion) -> str:
    """A sentence when the version no longer exists in MLflow under this name, with what it is called now where its
    model was renamed; else ""."""
    if not (version.deleted_at or version.model.deleted_at):
        return ""
    said = f"Version {version.number} of {version.model.name} no longer exists in MLflow"
    now = renamed(version)
    return f"{said}: the model is called {now.model.name} now. Ask for the promotion there." if now else f"{said}."


def renamed(version: ModelVersion) -> ModelVersion | None:
    """The version under its model's new name; None where it is not gone. MLflow keeps number, run and time of making
    when a model is renamed."""
    if not (version.deleted_at or version.model.deleted_at):
        return None
    found = ModelVersion.objects.filter(
        number=version.number, created_at=version.created_at, run_id=version.run_id, source=version.source
    )
    found = found.filter(deleted_at=None, model__deleted_at=None).exclude(model=version.model_id)
    return found.select_related("model").order_by("-model__last_updated_at").first()


def _higher_target_held(version: ModelVersion, target: Target) -> Target | None:
    """The target later in the row whose stage the version would lose by reaching this one's."""
    if not target.stage or version.stage == target.stage:
        return None
    return Target.objects.current().filter(stage=version.stage, position__gt=target.position).exclude(stage="").first()


def frozen_now(request: PromotionRequest, *, champion: ModelVersion | None, anew: bool = False) -> str:
    """The evidence as it would be frozen now, under the request's own rule; in the format that the request has, or
    `anew` in today's."""
    frozen = evidence.freeze(
        version=request.version,
        champion=champion,
        target=request.target,
        rule=policy.Rule.from_json(request.rule),
        justification=request.justification,
        files=approved_files(request),
        early=not anew and evidence.is_early(request.evidence),
    )
    return evidence.as_before(frozen, request.evidence) if request.evidence and not anew else frozen


def approved_before(request: PromotionRequest) -> PromotionRequest | None:
    """Of a roll back: the newest request with which its version reached the target before; None when it was there
    before the gate. A break-glass promotion counts once it was found justified."""
    unapproved = Q(kind=RequestKind.BREAK_GLASS) & ~Q(afterwards_verdict=AfterVerdict.JUSTIFIED)
    found = PromotionRequest.objects.filter(
        version_id=request.version_id, target_id=request.target_id, status=Status.APPLIED
    )
    return found.exclude(unapproved).exclude(pk=request.pk).order_by("-closed_at", "-pk").first()


def approved_files(request: PromotionRequest) -> dict[str, Any] | None:
    """Of a roll back: what was known of the version's files when it was approved; None where nothing was."""
    if request.kind != RequestKind.ROLLBACK:
        return None
    before = approved_before(request)
    found: dict[str, Any] | None = json.loads(before.evidence)["version"].get("files") if before else None
    return found


def changes(request: PromotionRequest) -> list[str]:
    """What differs between the frozen evidence and the mirror now, each as a few words."""
    frozen = frozen_now(request, champion=champion_for(request))
    return [] if frozen == request.evidence else evidence.differences(request.evidence, frozen)


def listed(changed: Sequence[str], *, limit: int = 5) -> str:
    more = f" and {len(changed) - limit} more" if len(changed) > limit else ""
    return ", ".join(changed[:limit]) + more


def of(
    request: PromotionRequest, user: User | None = None, *, eligible: Sequence[policy.Reviewer] | None = None
) -> Standing:
    """How the request stands, for this person (None: for nobody in particular)."""
    eligible = reviewers() if eligible is None else eligible
    rule = policy.Rule.from_json(request.rule)
    reviews = list(
        request.reviews.select_related("reviewer")
        .prefetch_related("reviewer__groups", "findings__owner")
        .order_by("created_at", "pk")
    )
    live = [review for review in reviews if review.voided_at is None]
    # A decision that is taken stands, whatever is found out about people afterwards.
    named = [] if request.decided_at else _contributors(request)
    excluded = policy.excluded(rule, asked_by=request.asked_by, named=named, people=eligible)
    counted = _approvers(request, live, eligible)
    states = policy.slot_states(rule, approvers=counted, eligible=eligible, excluded=excluded)
    checks = list(request.checks.live().select_related("overridden_by").order_by("position", "pk"))
    stale = ""
    if request.status == Status.PENDING and (changed := changes(request)):
        stale = f"This changed in MLflow since it was asked: {listed(changed)}."
    me = next((person for person in eligible if user and person.id == user.pk), None)
    entry = request.outbox_entries.open().first() if request.status == Status.APPROVED else None
    waits = "half" if entry and entry.half else "waiting" if entry and entry.waiting_since else ""
    facts = policy.RequestFacts(
        delivery=waits,
        status=request.status,
        status_label=request.get_status_display(),
        asked_by=request.asked_by,
        states=states,
        is_overdue=request.is_overdue(timezone.now()),
        own_verdict=next((r.get_verdict_display() for r in live if user and r.reviewer_id == user.pk), ""),
        own_groups=me.groups if me else frozenset(),
        stale=stale,
        kind=request.kind,
        contributes=_contributes(request, rule, user),
        blocked_by=[check.title for check in checks if check.blocks],
        unanswered=_unanswered(request),
        gone=gone(request.version) if request.status == Status.PENDING else "",
        vacates=would_vacate(request.version, request.target) if request.status == Status.PENDING else "",
    )
    actor = actor_of(user) if user else policy.Actor(0, frozenset())
    people = [*eligible, *(person for person in counted if all(person.id != other.id for other in eligible))]
    shortage = policy.shortage(rule, eligible=people, excluded=excluded) if request.status in UNDECIDED else ""
    actions = policy.available_actions(actor, facts)
    return Standing(
        request, rule, states, reviews, actions, shortage, eligible, excluded, checks, stale, facts.unanswered
    )


def _approvers(
    request: PromotionRequest, live: Sequence[Review], eligible: Sequence[policy.Reviewer]
) -> list[policy.Reviewer]:
    """Who approved, as eligible now. An approval of somebody who no longer may review does not count towards a decision
    that is still open; one that is taken stands as it was signed."""
    by_id = {person.id: person for person in eligible}
    found = []
    for review in live:
        if review.verdict != Verdict.APPROVE:
            continue
        person = by_id.get(review.reviewer_id)
        if person is None and request.decided_at is not None:
            groups = frozenset(group.name for group in review.reviewer.groups.all())
            person = policy.Reviewer(review.reviewer_id, review.reviewer.label, groups)
        if person is not None:
            found.append(replace(person, changed=evidence.changed_parts(review.parts, request.parts)))
    return found


def _unanswered(request: PromotionRequest) -> str:
    if request.requester.is_answered_for or request.owner_id is not None:
        return ""
    return (
        f"Nobody answers for the service account {request.requester.name}, so nobody can be told from its owner. "
        "An administrator names its owner under People."
    )


def _contributors(request: PromotionRequest) -> list[str]:
    return list(json.loads(request.evidence)["version"].get("contributors", ()))


def _contributes(request: PromotionRequest, rule: policy.Rule, user: User | None) -> str:
    if user is None or not rule.excludes_contributors:
        return ""
    names = [name for name in _contributors(request) if name.lower() in user.known_as]
    return f"contributed to this version ({names[0]} in MLflow)" if names else ""


def after_facts(request: PromotionRequest, user: User, *, on_probation: bool = False) -> policy.AfterFacts:
    """What `policy` asks about a review afterwards and about confirming a promotion on probation."""
    return policy.AfterFacts(
        asked_by=request.asked_by,
        unanswered=_unanswered(request),
        is_break_glass=request.kind == RequestKind.BREAK_GLASS,
        is_reviewed=request.afterwards_at is not None,
        on_probation=on_probation,
        contributes=_contributes(request, policy.Rule.from_json(request.rule), user),
    )


def lock(request: PromotionRequest) -> PromotionRequest:
    """The request read again and locked for the rest of the transaction (SQLite: the transaction is the lock).

    Two queries: what a locking query joins is as old as its beginning, however long it waited for the lock.
    """
    PromotionRequest.objects.select_for_update().values_list("pk").get(pk=request.pk)
    return PromotionRequest.objects.with_subject().get(pk=request.pk)


def lock_targets(targets: Iterable[int | None]) -> None:
    """Locks these targets for the rest of the transaction, before any request: what judges by a target's policies or
    holders, and what changes them, goes one after the other."""
    numbers = {pk for pk in targets if pk is not None}
    if numbers:
        list(Target.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk").values_list("pk"))
