"""django-allauth's forms that take a passkey. It signals no passkey that it refuses, so the security log is told here.
Apart from `forms`, which django-allauth's own forms import."""

from typing import Any

from allauth.core import context
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, LoginWebAuthnForm, ReauthenticateWebAuthnForm
from django.core.exceptions import ValidationError

from accounts.security_log import Event, record


class _Told:
    refused = Event.SIGNIN_FAILED

    def clean_credential(self) -> Any:
        """Raises ValidationError for what is no passkey of theirs."""
        try:
            return super().clean_credential()  # type: ignore[misc]
        except ValidationError:
            user = self.user  # type: ignore[attr-defined]
            record(self.refused, context.request, person=user.pk if user else None, method="passkey")
            raise


class SecondFactor(_Told, AuthenticateWebAuthnForm):
    """After the password."""


class SignInByPasskey(_Told, LoginWebAuthnForm):
    """In its place."""


class ProveByPasskey(_Told, ReauthenticateWebAuthnForm):
    refused = Event.REAUTH_FAILED
