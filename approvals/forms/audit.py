"""Forms over the evidence for an audit: the span of time, what it is about, and the sample."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.utils import timezone

from approvals.audit import reviews, sampling
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.forms.model_name import ModelNameField
from approvals.forms.moments import MomentField, UntilField
from approvals.models import Target, Tenure
from approvals.tenures.model_names import is_known


class PeriodForm(forms.Form):
    """Empty, it means the last calendar quarter (UTC)."""

    since = MomentField(label="From")
    until = UntilField(label="To")

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        since, until = found.get("since"), found.get("until")
        if since and until and since >= until:
            self.add_error("until", "The end must be after the start.")
        return found

    @property
    def period(self) -> Period:
        """Of a form that is valid, or the default. One end alone is filled up: from the first moment, or until now."""
        found = self.cleaned_data if self.is_valid() else {}
        since, until = found.get("since"), found.get("until")
        if not since and not until:
            first = Tenure.objects.order_by("started_at").values_list("started_at", flat=True).first()
            return Period.by_default(timezone.now(), first=first)
        return Period(since or datetime(1970, 1, 1, tzinfo=UTC), until or timezone.now())


class PopulationForm(PeriodForm):
    model = ModelNameField(label="Model", required=False)
    target = forms.ModelChoiceField(
        Target.objects.order_by("position", "name"), required=False, empty_label="Every target", to_field_name="name"
    )

    def clean_model(self) -> str:
        name = str(self.cleaned_data["model"])
        if name and not is_known(name):
            raise forms.ValidationError("No model has this name. Names are case-sensitive.")
        return name

    @property
    def scope(self) -> Scope:
        found = self.cleaned_data if self.is_valid() else {}
        return Scope(self.period, found.get("model", ""), found.get("target"))


class SampleForm(forms.Form):
    size = forms.IntegerField(
        label="Sample of",
        required=False,
        min_value=1,
        max_value=sampling.LARGEST,
        help_text=f"At most {sampling.LARGEST} changes.",
    )
    seed = forms.CharField(
        label="Seed",
        required=False,
        max_length=200,
        help_text=(
            "Leave empty to use the hash of the last event of the period, so that the sample is random and "
            "reproducible."
        ),
    )

    @property
    def wanted(self) -> tuple[int, str]:
        """Size and seed; the seed "" where no one gave one."""
        found = self.cleaned_data if self.is_valid() else {}
        return found.get("size") or sampling.DEFAULT_SIZE, found.get("seed", "")


class DayEndField(MomentField):
    """A bare day means its last second."""

    day_means = "23:59"

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        return moment.replace(hour=23, minute=59, second=59) if moment is not None and ":" not in str(value) else moment


class AccessForm(forms.Form):
    at = DayEndField(label="At")
    target = forms.ModelChoiceField(
        Target.objects.order_by("position", "name"), required=False, empty_label="Every target", to_field_name="name"
    )
    model = ModelNameField(label="Model", required=False, help_text="Shows the policies that apply to it.")
    person = forms.CharField(label="Changes of", required=False, max_length=120, help_text="Part of a name or address.")


class ReviewsForm(PeriodForm):
    target = forms.ModelChoiceField(
        Target.objects.order_by("position", "name"), required=False, empty_label="Every target", to_field_name="name"
    )
    seconds = forms.IntegerField(
        label="Flag approvals faster than (seconds)",
        required=False,
        min_value=1,
        max_value=3600,
        help_text=f"{reviews.HASTY_SECONDS} by default.",
    )
