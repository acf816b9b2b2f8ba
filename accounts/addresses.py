"""The form that changes a person's e-mail address, stricter than django-allauth's: the address is on approvals."""

from typing import Any

from allauth.account.forms import AddEmailForm
from allauth.account.models import EmailAddress
from allauth.account.utils import filter_users_by_email
from django import forms


class NewAddressForm(AddEmailForm):
    def clean_email(self) -> str:
        person: Any = self.user
        wanted = str(super().clean_email())
        if filter_users_by_email(wanted):
            raise forms.ValidationError("Another person has this address.")
        if not EmailAddress.objects.filter(user=person, email=person.email, verified=True).exists():
            raise forms.ValidationError("Confirm your present address first.")
        return wanted
