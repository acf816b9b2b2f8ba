"""Mails that tell a person what was changed of their account, so that they learn it when it was somebody else. A change
of the address goes to the old one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import links
from accounts.models import plain


@dataclass(frozen=True, slots=True)
class Notice:
    subject: str
    sentence: str
    """`{name}` stands for what django-allauth says of the change."""


NOTICES: Mapping[str, Notice] = {
    "account/email/password_changed": Notice("Your password was changed", "Your password was changed."),
    "account/email/password_set": Notice("Your account has a password", "A password was set for your account."),
    "account/email/password_reset": Notice(
        "Your password was changed", "A new password was set through the link in a mail to this address."
    ),
    "account/email/email_changed": Notice(
        "Your e-mail address was changed",
        "The e-mail address of your account was changed from {from_email} to {to_email}. Mails go there from now on.",
    ),
    "account/email/email_deleted": Notice(
        "An e-mail address was removed", "The e-mail address {deleted_email} was removed from your account."
    ),
    "mfa/email/totp_activated": Notice(
        "An authenticator app was added", "An authenticator app was added to your account."
    ),
    "mfa/email/totp_deactivated": Notice(
        "The authenticator app was removed", "The authenticator app was removed from your account."
    ),
    "mfa/email/webauthn_added": Notice("A passkey was added", "A passkey was added to your account."),
    "mfa/email/webauthn_removed": Notice("A passkey was removed", "A passkey was removed from your account."),
    "mfa/email/recovery_codes_generated": Notice(
        "New recovery codes were made", "New recovery codes were made for your account. The former ones no longer work."
    ),
    "socialaccount/email/account_connected": Notice(
        "A sign-in provider was connected", "An account at {provider} can sign in as you from now on."
    ),
    "socialaccount/email/account_disconnected": Notice(
        "A sign-in provider was disconnected", "The account at {provider} can no longer sign in as you."
    ),
}
"""By django-allauth's names of its mails."""


def compose(kind: str, to: str, told: Mapping[str, Any], *, address: str, browser: str) -> EmailMessage:
    """The mail. `told` is what django-allauth says of the change, `address` and `browser` are the client's. Raises
    KeyError for a kind that there is not."""
    notice = NOTICES[kind]
    context = {
        "sentence": notice.sentence.format(**{name: plain(str(value)) for name, value in told.items()}),
        "at": timezone.now(),
        "address": address or "an unknown address",
        "browser": browser,
        "new_password": links.absolute("account_reset_password"),
        "sessions": links.absolute("usersessions_list"),
        "site_name": settings.SITE_NAME,
    }
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}{notice.subject}"
    return EmailMessage(subject=subject, body=render_to_string("accounts/notice.txt", context), to=[to])
