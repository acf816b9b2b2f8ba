"""By which metrics versions are judged now, and the rows of a comparison that lists show.

A request is judged by its own rule, which keeps what stood when it was made."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from approvals import policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow
from approvals.models import ModelMetrics, Policy, Target
from approvals.policy import MetricRule
from approvals.policy.metrics import from_json, names_first
from approvals.selectors import rules
from mirror.models import ModelVersion, RegisteredModel

LOOKED_AT, OFFERED = 20, 200
"""Versions, and names of metrics."""


@dataclass(frozen=True, slots=True)
class OfPattern:
    """What one policy names; read once, since a list asks for every model."""

    model_pattern: str
    target: Target
    metrics: tuple[MetricRule, ...]

    def fits(self, model_name: str) -> bool:
        return policy.matches(self.model_pattern, model_name)


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What stands now for every model and target, for lists: see `load`."""

    policies: dict[int, list[OfPattern]]
    """By the target's id, in their order."""

    own: dict[str, tuple[MetricRule, ...]]
    """Those that models bring themselves, by the model's name."""

    def of(self, model: RegisteredModel, target: Target) -> tuple[MetricRule, ...]:
        """The metrics of record, the most important first; () where no one has named any. No query."""
        found = next((each for each in self.policies.get(target.pk, ()) if each.fits(model.name)), None)
        return policy.merged_metrics(found.metrics if found else (), self.own.get(model.name, ()))


def load() -> Yardsticks:
    """In two queries, however many models there are."""
    return Yardsticks(_policies(), {each.model_name: each.rules for each in ModelMetrics.objects.all()})


def _policies() -> dict[int, list[OfPattern]]:
    found: dict[int, list[OfPattern]] = {}
    for each in Policy.objects.current():
        named = from_json(each.terms.get("metrics", ()))
        found.setdefault(each.target_id, []).append(OfPattern(each.model_pattern, each.target, named))
    return found


def of(model: RegisteredModel, target: Target) -> tuple[MetricRule, ...]:
    """The same of one model and target."""
    return rules.rule_for(model.name, target).metrics


def of_model(model: RegisteredModel) -> tuple[MetricRule, ...]:
    """The same where no target is meant: of all policies that apply to the model, of the last target first, then its
    own. Two queries."""
    own, yardsticks = rules.own_metrics(model.name), Yardsticks(_policies(), {})
    targets = {each.target for of_target in yardsticks.policies.values() for each in of_target}
    found: tuple[MetricRule, ...] = ()
    for target in sorted(targets, key=lambda each: -each.position):
        found = policy.merged_metrics(found, yardsticks.of(model, target))
    return policy.merged_metrics(found, own.rules if own else ())


@dataclass(frozen=True, slots=True)
class OfPolicy:
    target: Target
    rules: Sequence[MetricRule]

    @property
    def sentence(self) -> str:
        """`auc within 0.5 %, all other metrics within 1 %`."""
        return ", ".join(each.short for each in self.rules)


def of_policies(model: RegisteredModel, targets: Iterable[Target]) -> list[OfPolicy]:
    """What the policy of each target names, where it does. One query, and that of the targets."""
    yardsticks = Yardsticks(_policies(), {})
    return [OfPolicy(target, names_first(found)) for target in targets if (found := yardsticks.of(model, target))]


def names_of(model: RegisteredModel) -> list[str]:
    """Names of metrics of the model's newest versions, for a form to offer. One query."""
    newest = ModelVersion.objects.filter(model=model, deleted_at=None).order_by("-number")
    found = newest.values_list("metrics", flat=True)[:LOOKED_AT]
    return sorted({name for metrics in found for name in metrics if not name.startswith("system/")})[:OFFERED]


def rows_of(
    version: ModelVersion, champion: ModelVersion | None, metrics: Sequence[MetricRule] = ()
) -> list[MetricRow]:
    """The metrics of a mirrored version beside another's, as MLflow has them now. No query."""
    return comparison.metric_rows(version.metrics, champion.metrics if champion else None, rules=metrics)
