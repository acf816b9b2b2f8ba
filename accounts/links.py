"""Links in mails: below the address of the site that is configured, never below the host that a request names, which is
whatever a stranger typed."""

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.urls import reverse


def absolute(name: str, **kwargs: Any) -> str:
    """Of the page with this name."""
    return f"{settings.SITE_URL.rstrip('/')}{reverse(name, kwargs=kwargs or None)}"


def for_new_password(key: str) -> str:
    """`key` is django-allauth's, of person and token."""
    return absolute("account_reset_password_from_key", uidb36="UID", key="KEY").replace("UID-KEY", quote(key))
