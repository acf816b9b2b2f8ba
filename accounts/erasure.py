"""Takes a person's name, address and every way to sign in out of the tables of accounts. The row stays, with its
number: what others recorded continues pointing at it."""

from allauth.account.models import EmailAddress
from allauth.core.internal import ratelimit
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone

from accounts import sessions
from accounts.models import ApiToken, User

DOMAIN = "pseudonymised.invalid"
"""`.invalid` never resolves (RFC 2606), so no mail goes there and no provider can vouch for it."""


def erase(person: User) -> None:
    """In the caller's transaction. There is no way back. `person` is refreshed."""
    _forget_tries(person)
    _end_sessions(person)
    EmailAddress.objects.filter(user=person).delete()
    SocialAccount.objects.filter(user=person).delete()
    Authenticator.objects.filter(user=person).delete()
    ApiToken.objects.filter(account=person).update(last_used_from="")
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


def _forget_tries(person: User) -> None:
    """What django-allauth counts under the address; our own counts are under numbers."""
    for action in ("reset_password", "confirm_email"):
        for rate in ratelimit.get_rates(app="allauth.account", action=action):
            if rate.per == "key":
                key = {"app": "allauth.account", "action": action, "rate": rate, "key": person.email.lower()}
                cache.delete(ratelimit.get_cache_key(HttpRequest(), **key))


def _end_sessions(person: User) -> None:
    """All of theirs, the run-out ones too: a session has the address that a person signed in with. What is in a session
    can only be seen by opening it."""
    sessions.end_all(person, "pseudonymised")
    UserSession.objects.filter(user=person).delete()
    store = SessionStore()
    for key, data in Session.objects.values_list("session_key", "session_data").iterator(chunk_size=500):
        opened = store.decode(data)
        if person.email in str(opened) or opened.get("_auth_user_id") == str(person.pk):
            Session.objects.filter(session_key=key).delete()
