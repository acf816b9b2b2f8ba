"""Findings that an approval may carry: what is to be put right, by whom and until when; and how one is closed."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms import BaseFormSet, formset_factory
from django.utils import timezone

from accounts.models import User
from approvals.models import PromotionRequest
from approvals.workflow import FindingInput
from mirror import composed

MOST, AT_FIRST = 5, 2
PREFIX = "findings"
USUAL_TIME = timedelta(days=14)


class FindingForm(forms.Form):
    """A row without text says nothing, whatever its owner and its date are."""

    text = forms.CharField(max_length=2000, label="What to fix", widget=forms.Textarea(attrs={"rows": 2}))
    owner = forms.CharField(
        max_length=254,
        label="Owner",
        help_text="E-mail address.",
        widget=forms.TextInput(attrs={"list": "finding-owners", "autocomplete": "off"}),
    )
    due_on = forms.DateField(
        label="Due",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        error_messages={"required": "Enter a due date."},
    )

    def has_changed(self) -> bool:
        return bool(str(self.data.get(self.add_prefix("text"), "")).strip())

    def clean_owner(self) -> User:
        people = User.objects.active().filter(is_service_account=False)
        found: User | None = people.filter(email__iexact=self.cleaned_data["owner"].strip()).first()
        if found is None:
            raise forms.ValidationError("No person with this address can own it; enter the address of another person.")
        return found

    def clean_due_on(self) -> date:
        due: date = self.cleaned_data["due_on"]
        if due < timezone.now().date():
            raise forms.ValidationError("Choose today or a later date.")
        return due


_FindingFormSet = formset_factory(FindingForm, extra=AT_FIRST, max_num=MOST, absolute_max=MOST, validate_max=True)


def of(request: PromotionRequest, data: Mapping[str, Any] | None = None) -> "BaseFormSet[FindingForm]":
    """The rows of the decision form; bound when what was sent has any."""
    usual = {"initial": {"owner": request.requester.email, "due_on": (timezone.now() + USUAL_TIME).date()}}
    is_sent = data is not None and f"{PREFIX}-TOTAL_FORMS" in data
    return _FindingFormSet(data if is_sent else None, prefix=PREFIX, form_kwargs=usual)


def wanted(rows: "BaseFormSet[FindingForm]") -> list[FindingInput]:
    """What was asked for in valid rows."""
    if not rows.is_bound:
        return []
    told = [form.cleaned_data for form in rows.forms if form.cleaned_data.get("text")]
    return [FindingInput(each["text"], each["owner"], each["due_on"]) for each in told]


def possible_owners() -> list[User]:
    """Suggestions; anybody else can be typed in."""
    return composed.objects(_owners)


def _owners() -> QuerySet[User]:
    found: QuerySet[User] = User.objects.active().filter(is_service_account=False)
    return found.order_by("name", "email")[:200]


class CloseFindingForm(forms.Form):
    note = forms.CharField(
        max_length=2000,
        label="What was done about it",
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Enter what was done."},
    )
