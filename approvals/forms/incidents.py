"""Incidents: the filters of their list, and the reason with which a person resolves one."""

from django import forms

from approvals.models import Incident


class IncidentFilterForm(forms.Form):
    kind = forms.ChoiceField(
        required=False, label="What was changed", choices=[("", "Anything"), *Incident.Kind.choices]
    )
    model = forms.CharField(required=False, label="Model", max_length=256)


class ResolveIncidentForm(forms.Form):
    reason = forms.CharField(
        max_length=4000,
        label="What happened, and why can it stay?",
        help_text="Recorded in the history. What was found stays as it is, without an approval.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )
