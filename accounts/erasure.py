"""Takes a person's name, address and every way to sign in out of the tables of accounts. The row stays, with its
number: what others recorded continues pointing at it."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils import timezone

from accounts.models import User

DOMAIN = "pseudonymised.invalid"
"""`.invalid` never resolves (RFC 2606), so no mail goes there and no provider can vouch for it."""


def erase(person: User) -> None:
    """In the caller's transaction. There is no way back. `person` is refreshed."""
    _end_sessions(person)
    EmailAddress.objects.filter(user=person).delete()
    SocialAccount.objects.filter(user=person).delete()
    Authenticator.objects.filter(user=person).delete()
    # Not `save`: that would record the change of name, with the name.
    User.objects.filter(pk=person.pk).update(
        name=f"Person {person.pk}",
        email=f"person-{person.pk}@{DOMAIN}",
        password=make_password(None),
        mlflow_names=[],
        former_mlflow_names=[],
        former_names=[],
        saved_views={},
        is_active=False,
        last_login=None,
        pseudonymised_at=timezone.now(),
    )
    person.refresh_from_db()
    cache.clear()  # counts of sign-in attempts, some kept under the address


def _end_sessions(person: User) -> None:
    """All of theirs, the run-out ones too: a session has the address that a person signed in with. What is in a session
    can only be seen by opening it."""
    store = SessionStore()
    for key, data in Session.objects.values_list("session_key", "session_data").iterator(chunk_size=500):
        opened = store.decode(data)
        if person.email in str(opened) or opened.get("_auth_user_id") == str(person.pk):
            Session.objects.filter(session_key=key).delete()
