"""By which metrics versions are judged now, and the rows of a comparison that lists show.

A request is judged by its own rule, which keeps what stood when it was made."""

from collections.abc import Sequence
from dataclasses import dataclass

from approvals import policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow
from approvals.models import Policy, Target
from approvals.policy import MetricRule
from approvals.selectors import rules
from mirror.models import ModelVersion, RegisteredModel


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What stands now for every model and target, for lists: see `load`."""

    policies: dict[int, list[Policy]]
    """By the target's id, in their order."""

    def of(self, model: RegisteredModel, target: Target) -> tuple[MetricRule, ...]:
        """The metrics of record, the most important first; () where nobody has named any. No query."""
        return rules.rule_among(self.policies.get(target.pk, ()), model.name).metrics


def load() -> Yardsticks:
    """In one query, however many models there are."""
    found: dict[int, list[Policy]] = {}
    for each in Policy.objects.current():
        found.setdefault(each.target_id, []).append(each)
    return Yardsticks(found)


def of(model: RegisteredModel, target: Target) -> tuple[MetricRule, ...]:
    """The same of one model and target."""
    return rules.rule_for(model.name, target).metrics


def of_model(model: RegisteredModel) -> tuple[MetricRule, ...]:
    """The same where no target is meant: of all policies that apply to the model, of the last target first. One
    query."""
    yardsticks = load()
    targets = {each.target_id: each.target for found in yardsticks.policies.values() for each in found}
    found: tuple[MetricRule, ...] = ()
    for target in sorted(targets.values(), key=lambda each: -each.position):
        found = policy.merged_metrics(found, yardsticks.of(model, target))
    return found


def rows_of(
    version: ModelVersion, champion: ModelVersion | None, metrics: Sequence[MetricRule] = ()
) -> list[MetricRow]:
    """The metrics of a mirrored version beside another's, as MLflow has them now. No query."""
    return comparison.metric_rows(version.metrics, champion.metrics if champion else None, rules=metrics)
