"""The one field that sign-up asks for beyond e-mail and password: the name that is on approvals."""

from django import forms


class SignupNameForm(forms.Form):
    name = forms.CharField(max_length=120, label="Full name", help_text="Shown on your requests and approvals.")

    def signup(self, request: object, user: object) -> None:
        """Called by django-allauth after the person was saved; the adapter has already stored the name."""
