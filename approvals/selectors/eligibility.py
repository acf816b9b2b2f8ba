"""Whether a version can be asked into a target now, and why not. The pages and the verb ask the same questions here."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from approvals import policy
from approvals.models import PromotionRequest, Target
from approvals.selectors import champions, rules
from mirror import composed
from mirror.models import ModelVersion


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version and a target that it may be asked into, with all that is to be known of the two at one moment.

    A page computes its own for showing. A verb computes its own under its locks, once, and hands it down to
    `creation.make`: what the page saw may be old by then.
    """

    version: ModelVersion
    target: Target
    holders: Sequence[ModelVersion]
    """What holds the target now, the champion first. Of a review afterwards: the last approved holder alone."""

    rule: policy.Rule
    open_request: PromotionRequest | None
    """The one that asks for the same already."""

    problem: str
    """A sentence that says why it cannot be asked now; "" when it can."""

    @property
    def champion(self) -> ModelVersion | None:
        return next(iter(self.holders), None)

    @property
    def archives(self) -> list[int]:
        """Numbers of the versions that are archived when it reaches the target."""
        if not self.target.archives_existing:
            return []
        beside = [held for held in self.holders if held.pk != self.version.pk]
        return [held.number for held in beside if held.stage == self.target.stage]

    @property
    def is_possible(self) -> bool:
        return not (self.open_request or self.problem)


def candidate(version: ModelVersion, target: Target, *, holders: Sequence[ModelVersion] | None = None) -> Candidate:
    """Three to seven queries, the most for a target with a stage and an alias; fewer where the `holders` are known."""
    holders = champions.holders(version.model, target) if holders is None else holders
    rule = rules.rule_for(version.model.name, target)
    existing = open_request(version, target)
    return Candidate(version, target, holders, rule, existing, cannot_be_asked(version, target, holders))


def open_request(version: ModelVersion, target: Target) -> PromotionRequest | None:
    return next(iter(composed.objects(_open, version.pk, target.pk)), None)


def _open(version: int, target: int) -> QuerySet[PromotionRequest]:
    """There is one at most."""
    found: QuerySet[PromotionRequest] = PromotionRequest.objects.open().filter(version=version, target=target)
    return found


def cannot_be_asked(version: ModelVersion, target: Target, holders: Sequence[ModelVersion]) -> str:
    """A sentence that says why this version cannot be asked into this target now, or "" when it can."""
    if target.retired_at:
        return f"{target.name} is retired."
    if version.deleted_at or version.model.deleted_at:
        return f"Version {version.number} no longer exists in MLflow."
    if version.status != "READY":
        return f"Version {version.number} is not ready in MLflow ({version.status})."
    if version.run_id and version.facts_at is None:
        return f"The run of version {version.number} has not been read from MLflow yet. Try again in a few seconds."
    if holders and holders[0].pk == version.pk and _is_fully_held(version, target):
        return f"Version {version.number} is already in {target.name}."
    return would_vacate(version, target)


def _is_fully_held(version: ModelVersion, target: Target) -> bool:
    """Stage and alias, where the target means both. A half-held target may be asked for, to make it whole."""
    has_alias = not target.alias or version.model.aliases.filter(name=target.alias, number=version.number).exists()
    return (not target.stage or version.stage == target.stage) and has_alias


def would_vacate(version: ModelVersion, target: Target) -> str:
    """A sentence when the version would leave a later target empty by reaching this one, or ""."""
    higher = _higher_target_held(version, target)
    if higher is None:
        return ""
    return (
        f"Version {version.number} is in {higher.name}, and a version has only one stage in MLflow, so it would "
        f"leave {higher.name}. Promote another version to {higher.name} first."
    )


def gone(version: ModelVersion) -> str:
    """A sentence when the version no longer exists in MLflow under this name, with what it is called now where its
    model was renamed; else ""."""
    if not (version.deleted_at or version.model.deleted_at):
        return ""
    said = f"Version {version.number} of {version.model.name} no longer exists in MLflow"
    now = renamed(version)
    return f"{said}: the model is now called {now.model.name}. Request the promotion there." if now else f"{said}."


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
    later = (each for each in composed.objects(_targets) if each.position > target.position)
    return next((each for each in later if each.stage and each.stage == version.stage), None)


def _targets() -> QuerySet[Target]:
    found: QuerySet[Target] = Target.objects.current()
    return found
