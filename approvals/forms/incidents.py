"""Incidents: the filters of their list, and the reason with which a person resolves one."""

from typing import Any

from django import forms

from approvals.models import Incident


class IncidentFilterForm(forms.Form):
    kind = forms.ChoiceField(
        required=False, label="What was changed", choices=[("", "Anything"), *Incident.Kind.choices]
    )
    model = forms.CharField(required=False, label="Model", max_length=256)


class ResolveIncidentForm(forms.Form):
    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if incident.is_of_all_models:
            self.fields["reason"].label = "What happened, and what was changed meanwhile?"
            self.fields["reason"].help_text = "Recorded in the history."

    reason = forms.CharField(
        max_length=4000,
        label="What happened, and why can it stay?",
        help_text="Recorded in the history. What was found stays as it is, without an approval.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )
