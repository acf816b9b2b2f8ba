"""Shapes of what people send. Rules live in `approvals.workflow` and `approvals.policy`; forms never save."""

import re
from typing import Any

from django import forms

from accounts.models import User
from approvals.models import Target, Verdict
from approvals.policy import Meaning
from approvals.selectors.approval_effect import Effect
from approvals.selectors.nominations import Possible

_LONG = forms.Textarea(attrs={"rows": 4})


class WhoField(forms.ChoiceField):
    """A person or a group who is asked by name: `person:7`, `group:risk`. Cleans to what the verbs take: `person` or
    `group`, the other empty. The verb says who cannot be asked, and why."""

    def valid_value(self, value: str) -> bool:
        return re.fullmatch(r"person:\d{1,18}|group:.{1,150}", value) is not None

    def clean(self, value: Any) -> dict[str, Any]:
        kind, _, name = str(super().clean(value)).partition(":")
        person = User.objects.filter(pk=int(name)).first() if kind == "person" else None
        if kind == "person" and person is None:
            raise forms.ValidationError("This person does not exist any more.")
        return {"person": person, "group": name if kind == "group" else ""}


class NewRequestForm(forms.Form):
    target = forms.ModelChoiceField(
        Target.objects.none(), to_field_name="name", empty_label=None, widget=forms.RadioSelect
    )
    justification = forms.CharField(
        max_length=4000,
        widget=_LONG,
        label="Why should it be promoted?",
        help_text="Reviewers and auditors read this. Describe what is better, for whom, and what could go wrong.",
    )
    who = WhoField(
        required=False,
        label="Ask a reviewer by name",
        help_text="They are notified when the checks have passed. Others can still review.",
    )

    def __init__(self, *args: Any, targets: Any, possible: Possible, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = targets  # type: ignore[attr-defined]
        groups = [(f"group:{name}", name) for name in possible.groups]
        people = [(f"person:{each.id}", each.label.partition(" <")[0]) for each in possible.people]
        named = [(title, found) for title, found in (("Groups", groups), ("People", people)) if found]
        self.fields["who"].choices = [("", "No one in particular"), *named]  # type: ignore[attr-defined]


class ReviewForm(forms.Form):
    verdict = forms.ChoiceField(choices=Verdict)
    comment = forms.CharField(
        max_length=4000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "aria-describedby": "id_comment_hint id_comment_error"}),
    )
    fingerprint = forms.CharField(max_length=64, widget=forms.HiddenInput)
    effect = forms.ChoiceField(
        choices=[("", ""), *((each.value, "") for each in Effect)], required=False, widget=forms.HiddenInput
    )
    meaning = forms.ChoiceField(
        choices=[("", "Choose"), *((each.value, each.capitalize()) for each in Meaning)],
        required=False,
        label="Meaning of my signature",
    )


class UndoForm(forms.Form):
    review = forms.IntegerField(widget=forms.HiddenInput)
    together = forms.BooleanField(required=False, widget=forms.HiddenInput)
    """With all that were given with it."""


class CommentForm(forms.Form):
    body = forms.CharField(
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "Ask a question or add a note"}),
        label="Comment",
    )


class NominateForm(forms.Form):
    """`cleaned_data` is what the verb takes."""

    who = WhoField(label="Person or group")

    def clean(self) -> dict[str, Any]:
        return dict(self.cleaned_data.get("who", {}))


class WithdrawForm(forms.Form):
    reason = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 2}))


class ResubmitForm(forms.Form):
    justification = forms.CharField(max_length=4000, required=False, widget=_LONG, label="What has changed")


class EndForm(forms.Form):
    reason = forms.CharField(max_length=4000, widget=forms.Textarea(attrs={"rows": 2, "id": "id_end_reason"}))


class EndHalfForm(forms.Form):
    how = forms.ChoiceField(
        choices=[("revert", "Undo the partial delivery"), ("accept", "Accept the partial delivery")],
        widget=forms.RadioSelect,
        label="Resolution",
    )
    reason = forms.CharField(max_length=4000, widget=forms.Textarea(attrs={"rows": 2, "id": "id_half_reason"}))
