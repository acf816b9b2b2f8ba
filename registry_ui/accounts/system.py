"""The account in whose name Countersign itself asks for a review. It cannot sign in, and is no person."""

from django.db.models import QuerySet

from registry_ui.accounts.models import User

EMAIL, NAME = "countersign@countersign.invalid", "Countersign"
"""A top-level domain in which nobody can have an address (RFC 2606)."""


def system_account() -> User:
    """Made when it is first needed: inactive, a service account, without a password."""
    found: User | None = User.objects.filter(email=EMAIL).first()
    if found is None:
        found = User.objects.create_user(email=EMAIL, name=NAME, is_active=False, is_service_account=True)
    return found


def people() -> "QuerySet[User]":
    """Everybody but that account."""
    found: QuerySet[User] = User.objects.exclude(email=EMAIL)
    return found
