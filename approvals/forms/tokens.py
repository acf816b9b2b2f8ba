"""Shapes of what people send to make API tokens and service accounts. Forms never save."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group
from django.utils.html import format_html

from accounts import id_tokens, roles, tokens
from accounts.models import User

LASTING = {7: "7 days", 30: "30 days", 90: "90 days", 180: "180 days", 365: "1 year"}


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=80, label="Name", help_text="What uses it, such as ci-train. Shown with everything that it does."
    )
    scopes = forms.MultipleChoiceField(
        label="What it can be used for",
        widget=forms.CheckboxSelectMultiple,
        help_text="A token never does more than its account can do.",
    )
    days = forms.TypedChoiceField(
        choices=list(LASTING.items()), coerce=int, initial=tokens.DEFAULT_DAYS, label="Expires after"
    )

    def __init__(self, *args: Any, account: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["scopes"]
        field.choices = _scopes(account)


def _scopes(account: User) -> list[tuple[str, str]]:
    """What a token of this account can have, as choices."""
    return [
        (scope, format_html('<code>{}</code><span class="row-note">{}</span>', scope, tokens.SCOPES[scope]))
        for scope in tokens.scopes_of(account)
    ]


class PublisherForm(forms.Form):
    provider = forms.ChoiceField(choices=list(id_tokens.PROVIDERS.items()), label="Where the pipeline runs")
    issuer = forms.ChoiceField(label="Issuer of its identity tokens")
    repository = forms.CharField(
        max_length=200, label="Repository", help_text="With its owner or group, such as acme/churn."
    )
    ref = forms.CharField(
        max_length=200,
        initial="refs/heads/main",
        label="Branch or tag",
        help_text="The full ref; * stands for anything, as in refs/tags/v*. Who can push to it can make requests.",
    )
    environment = forms.CharField(
        max_length=200, required=False, label="Environment", help_text="Only jobs of this environment. Empty: any job."
    )
    scopes = forms.MultipleChoiceField(
        label="What its tokens can be used for", initial=["read", "requests:write"], widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, account: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        issuer, scopes = (cast(Any, self.fields[name]) for name in ("issuer", "scopes"))
        issuer.choices = [(each, each) for each in settings.TOKEN_ISSUERS]
        scopes.choices = _scopes(account)

    def terms(self) -> dict[str, Any]:
        """What `administration.add_publisher` takes."""
        return {name: value.strip() if isinstance(value, str) else value for name, value in self.cleaned_data.items()}


class ServiceAccountForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name", help_text="Such as train-bot. Shown on its requests.")
    owner = forms.ModelChoiceField(
        User.objects.people().active().filter(is_service_account=False).order_by("name", "email"),
        label="Owner",
        empty_label="Choose a person",
        help_text="Makes its tokens, and counts as the requester of its requests, so the owner never approves them.",
    )
    roles = forms.ModelMultipleChoiceField(
        Group.objects.filter(name__in=set(roles.PERMISSIONS) - {roles.REVIEWER, roles.ADMINISTRATOR}).order_by("pk"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Roles",
        help_text="To make requests it needs the role requester. A service account never reviews or administers.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("roles", Group.objects.filter(name=roles.REQUESTER))
