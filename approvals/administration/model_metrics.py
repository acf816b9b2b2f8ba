"""The metrics of record that a model brings itself."""

from collections.abc import Sequence

from accounts.models import User
from approvals import policy as rules
from approvals.administration.policies import directed_metrics
from approvals.administration.shared import POLICIES, record, require, valid
from approvals.models import Action, ModelMetrics
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb
from mirror.models import RegisteredModel


@verb()
def save_model_metrics(
    model: RegisteredModel, metrics: Sequence[rules.MetricRule], *, by: User, seen: int | None = None
) -> None:
    """Sets the metrics of record of a model, the most important first; none takes them away, unchanged nothing is
    recorded. Requests that are open keep theirs. `seen` is the version of what was edited, 0 where there was nothing.

    Raises NotAllowed, Invalid for what makes no sense, or Conflict when another version than `seen` stands by now.
    """
    require(by, POLICIES)
    wanted = directed_metrics(metrics)
    if found := rules.problems_of_metrics(wanted):
        raise Invalid(" ".join(found))
    kept = ModelMetrics.objects.select_for_update().filter(model_name=model.name).first()
    if seen is not None and seen != (kept.version if kept else 0):
        raise Conflict("Another person has changed these metrics of record meanwhile. Saving again replaces theirs.")
    before, after = (kept.metrics if kept else []), [each.as_json() for each in wanted]
    if before == after:
        return
    row = kept or ModelMetrics(model_name=model.name, version=0)
    row.version, row.metrics = row.version + 1, after
    with valid("Another person has just set the metrics of record of this model."):
        row.save()
    record(
        Action.METRICS_CHANGED,
        by,
        model_name=model.name,
        data={"before": before, "after": after, "said": [each.sentence for each in wanted]},
        rows=[row],
    )
