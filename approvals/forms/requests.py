"""Shapes of what people send. Rules live in `approvals.workflow` and `approvals.policy`; forms never save."""

from typing import Any

from django import forms

from accounts.models import User
from approvals.models import Target, Verdict
from approvals.policy import Meaning
from approvals.selectors.approval_effect import Effect

_LONG = forms.Textarea(attrs={"rows": 4})


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

    def __init__(self, *args: Any, targets: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = targets  # type: ignore[attr-defined]


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
    """`cleaned_data` is what the verb takes: `person` or `group`, the other empty."""

    who = forms.RegexField(r"^(person:\d{1,18}|group:.{1,150})$", label="Person or group")

    def clean(self) -> dict[str, Any]:
        kind, _, value = str(self.cleaned_data.pop("who", "")).partition(":")
        person = User.objects.filter(pk=int(value)).first() if kind == "person" else None
        if kind == "person" and person is None:
            raise forms.ValidationError("This person does not exist any more.")
        return {"person": person, "group": value if kind == "group" else ""}


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
