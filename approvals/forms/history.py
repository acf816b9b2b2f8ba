"""The shapes of what is asked of the record: a moment to travel to, and a file of earlier history."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms

from approvals.forms.model_name import ModelNameField
from approvals.forms.moments import MomentField
from approvals.models import Target
from approvals.tenures import importing

SPANS: Mapping[str, tuple[str, timedelta | None]] = {
    "day": ("Day", timedelta(days=1)),
    "week": ("Week", timedelta(days=7)),
    "month": ("Month", timedelta(days=30)),
    "quarter": ("Quarter", timedelta(days=91)),
    "year": ("Year", timedelta(days=365)),
    "all": ("All", None),
}
"""How much of the time line is seen: its word, and its length (None: everything)."""


class MomentForm(forms.Form):
    at = MomentField(label="At", attrs={"step": "any"})
    model = ModelNameField(label="Model", required=False)
    target = forms.ModelChoiceField(
        Target.objects.none(),
        required=False,
        to_field_name="name",
        empty_label="All targets",
        error_messages={"invalid_choice": "There is no target of this name. Names are case-sensitive."},
    )
    span = forms.ChoiceField(
        choices=[(key, words) for key, (words, _) in SPANS.items()], required=False, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = Target.objects.order_by("position", "name")  # type: ignore[attr-defined]

    def clean_model(self) -> str:
        name = str(self.cleaned_data["model"])
        if "\x00" in name:
            raise forms.ValidationError("A name has no NUL character.")
        return name


class ImportForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        help_text=f"UTF-8, or UTF-16 as Excel saves it; at most {importing.LARGEST // 1024 // 1024} MB and "
        f"{importing.MOST_ROWS:,} rows.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv", "class": "form-control"}),
        max_length=200,
    )

    def clean_file(self) -> tuple[str, bytes, importing.Checked]:
        """(name, content, verdicts)."""
        sent = self.cleaned_data["file"]
        content = sent.read(importing.LARGEST + 1)  # one more: too large is told
        try:
            return str(sent.name), content, importing.check(content)
        except importing.BadFile as error:
            raise forms.ValidationError(str(error)) from error
