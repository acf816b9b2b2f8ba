"""Shapes of what people send to roll back, to promote in an emergency, and about what was promoted so."""

from typing import Any, cast

from django import forms
from django.http import QueryDict

from approvals.models import AfterVerdict
from approvals.policy import SHORTEST_REASON

_LONG = {"rows": 4}


class RollBackForm(forms.Form):
    to = forms.TypedChoiceField(coerce=int, widget=forms.RadioSelect, label="Back to")
    leaving = forms.IntegerField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=4000,
        widget=forms.Textarea(attrs=_LONG),
        label="Why?",
        help_text="Auditors and the requester of the current version read this.",
    )

    def __init__(self, *args: Any, numbers: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = [(number, f"Version {number}") for number in numbers]  # type: ignore[attr-defined]

    def now_leaving(self, number: int | None) -> None:
        """Sending what was typed once more leaves this version."""
        data = cast("QueryDict", self.data).copy()
        data["leaving"] = "" if number is None else str(number)
        self.data = data


class BreakGlassForm(forms.Form):
    target = forms.CharField(max_length=100, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=4000,
        widget=forms.Textarea(attrs=_LONG),
        label="What is the emergency?",
        help_text=f"At least {SHORTEST_REASON} characters. Every reviewer is notified.",
    )
    model_name = forms.CharField(
        max_length=256,
        label="Type the model's name",
        help_text="To confirm that it is the right model.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_model_name(self) -> str:
        typed = str(self.cleaned_data["model_name"]).strip()
        if typed != self.expected.strip():
            raise forms.ValidationError("This is not the name of the model.")
        return self.expected


class AfterwardsForm(forms.Form):
    verdict = forms.ChoiceField(choices=AfterVerdict, widget=forms.RadioSelect, label="Was it justified?")
    comment = forms.CharField(
        max_length=4000, widget=forms.Textarea(attrs={"rows": 3}), label="Why?", help_text="Auditors read it."
    )


class ConfirmForm(forms.Form):
    comment = forms.CharField(
        max_length=4000, widget=forms.Textarea(attrs={"rows": 2}), label="What is the confirmation based on?"
    )
