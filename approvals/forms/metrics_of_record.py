"""Rows of metrics of record, as a policy and a model's page take them. Forms never save."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from django import forms
from django.http import QueryDict

from approvals.evidence import comparison
from approvals.policy import Better, MetricRule, metrics

PREFIX = "metrics"
EMPTY_ROWS = 2


class MetricForm(forms.Form):
    name = forms.CharField(
        max_length=metrics.LONGEST_NAME,
        required=False,
        label="Metric",
        widget=forms.TextInput(attrs={"list": "metric-names"}),
    )
    better = forms.ChoiceField(
        choices=[(Better.BY_NAME, "By its name"), (Better.HIGHER, "Higher"), (Better.LOWER, "Lower")],
        required=False,
        label="Better is",
    )
    tolerance = forms.CharField(max_length=40, required=False, label="Tolerance")

    def clean_tolerance(self) -> str:
        try:
            return metrics.read_tolerance(self.cleaned_data["tolerance"])
        except ValueError:
            raise forms.ValidationError("Write a number such as 0.002, or a percentage such as 0.5 %.") from None

    def clean(self) -> dict[str, Any]:
        if not self.errors and self.rule and comparison.is_undirected(self.rule):
            self.add_error("better", "Choose one: the name does not say which way is better.")
        return self.cleaned_data

    @property
    def rule(self) -> MetricRule | None:
        """None of a row without a name, which is not used."""
        typed = self.cleaned_data
        return MetricRule(typed["name"], typed["better"], typed["tolerance"]) if typed.get("name") else None


class ModelMetricsForm(forms.Form):
    """What goes with the rows of a model."""

    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)
    """The version that the form was opened with; 0 where nothing was set."""

    def now_over(self, version: int) -> None:
        """Saving what was typed once more replaces this version."""
        data = cast("QueryDict", self.data).copy()
        data["seen"] = str(version)
        self.data = data


class BaseMetricFormSet(forms.BaseFormSet):  # type: ignore[type-arg]
    """Rows without a name are not used; that is also how one is taken away."""

    def __init__(self, *args: Any, kept: tuple[MetricRule, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept = kept

    def clean(self) -> None:
        if not any(self.errors) and (found := metrics.problems_of_metrics(self.rules())):
            raise forms.ValidationError(found)

    def rules(self) -> tuple[MetricRule, ...]:
        """In the order of the rows; what stood before where none were sent."""
        if not self.is_bound:
            return self.kept
        return tuple(form.rule for form in self.forms if form.rule)

    def is_valid(self) -> bool:
        return not self.is_bound or super().is_valid()


MetricFormSet: Any = forms.formset_factory(
    MetricForm, formset=BaseMetricFormSet, extra=EMPTY_ROWS, max_num=metrics.MOST_METRICS, validate_max=True
)


def metric_forms(data: Mapping[str, Any] | None, kept: Iterable[MetricRule]) -> Any:
    """A row for each metric of record, and two empty ones. Data without these rows leaves what stood before."""
    kept = tuple(kept)
    is_sent = data is not None and f"{PREFIX}-TOTAL_FORMS" in data
    # Rows that were sent stand for themselves: a row that equals an initial one would count as empty.
    initial = None if is_sent else [each.as_json() for each in kept]
    return MetricFormSet(data if is_sent else None, initial=initial, prefix=PREFIX, kept=kept)
