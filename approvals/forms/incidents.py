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
        label="What happened, and why may it stay as it is?",
        help_text="It stands in the history. What holds the place stays there, and stays without an approval.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )
