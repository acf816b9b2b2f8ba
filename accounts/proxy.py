"""Sign-in by a header of a reverse proxy that has signed people in itself, such as oauth2-proxy. It is read on every
request and believed for the sake of a secret that only the proxy knows. It is never a proof for signing: nothing says
when the person proved who they are."""

import secrets
from dataclasses import dataclass

from allauth.account.internal.emailkit import valid_email_or_none
from allauth.account.internal.flows.login import perform_login
from allauth.account.models import EmailAddress, Login
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth import logout
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import identity_providers
from accounts.claims import ADDRESS_LENGTH, NAME_LENGTH
from accounts.models import User, plain

PROVEN_BY = "X-Countersign-Proxy"
KEY = "proxy"
"""In the session: the address that the proxy said, and the groups that meant something."""


@dataclass(frozen=True, slots=True)
class Asserted:
    """What the proxy says of who asks."""

    address: str
    """In lower case."""

    name: str
    groups: list[str] | None
    """Those that mean something here; None: it did not say."""


def asserted(request: HttpRequest) -> Asserted | None:
    """None where the proxy says nothing, or nothing that can be used, or somebody else says it."""
    if not settings.PROXY_AUTH.header:
        return None
    given = request.headers.get(PROVEN_BY, "")
    if not secrets.compare_digest(given.encode(), settings.PROXY_AUTH.secret.encode()):
        return None
    said = request.headers.get(settings.PROXY_AUTH.header, "").strip()
    address = valid_email_or_none(said)
    if address is None or not said.isascii() or len(said) > ADDRESS_LENGTH:
        return None
    name = _text_of(request, settings.PROXY_AUTH.name_header) or ""
    groups = _text_of(request, settings.PROXY_AUTH.groups_header)
    known = {value for value, _ in settings.PROXY_AUTH.roles}
    named = None if groups is None else sorted(known.intersection(each.strip() for each in groups.split(",")))
    return Asserted(address.lower(), plain(name)[:NAME_LENGTH].strip(), named)


def _text_of(request: HttpRequest, header: str) -> str | None:
    """Proxies send UTF-8, and WSGI hands it on byte by byte as Latin-1. None: not sent."""
    given: str | None = request.headers.get(header) if header else None
    try:
        return given.encode("latin-1").decode() if given else given
    except UnicodeError:  # it was Latin-1
        return given


def end_others(request: HttpRequest, told: Asserted | None) -> None:
    """Ends a session of another person than the proxy names, and one that came through it where it names no one. Where
    the groups are others by now, the roles follow."""
    user = request.user
    begun = request.session.get(KEY)
    if not isinstance(user, User) or (told is None and begun is None):
        return
    if told is None or told.address != (begun["address"] if begun else user.email.lower()):
        logout(request)
    elif begun and told.groups is not None and told.groups != begun["groups"]:
        _set_roles(user, told)
        request.session[KEY] = {"address": told.address, "groups": told.groups}
        user.__dict__.pop("_roles", None)  # as it was before


def sign_in(request: HttpRequest, told: Asserted) -> HttpResponse | None:
    """Begins the session, or answers why not: with a page, or a way to the second factor that they have."""
    person = _person(told)
    if person is None:
        return render(request, "account/signup_closed.html", status=403)
    _set_roles(person, told)
    request.session[KEY] = {"address": told.address, "groups": told.groups}
    # The address needs no mail: whoever the proxy names has it.
    login = Login(user=person, email_verification="none", redirect_url=request.get_full_path())
    answer: HttpResponse = perform_login(request, login)
    return None if request.user.is_authenticated else answer


@transaction.atomic
def _person(told: Asserted) -> User | None:
    """Whose account it is, at the proxy or by the address; made, where it may be."""
    person = _known(told)
    if person is not None:
        return person
    try:
        with transaction.atomic():
            return _linked(told)
    except IntegrityError:  # another first request of the same person was quicker
        return _known(told)


def _known(told: Asserted) -> User | None:
    account = SocialAccount.objects.filter(provider=identity_providers.PROXY, uid=told.address).first()
    return User.objects.get(pk=account.user_id) if account else None


def _linked(told: Asserted) -> User | None:
    person: User | None = User.objects.who_sign_in().filter(email=told.address).first()
    is_open: bool | None = settings.OIDC_SIGNUP_OPEN
    if is_open is None:
        is_open = any(value in (told.groups or ()) for value, _ in settings.PROXY_AUTH.roles)
    if person is None and is_open:
        person = User.objects.create_user(email=told.address, name=told.name or told.address)
        EmailAddress.objects.create(user=person, email=told.address, verified=True, primary=True)
    if person is not None:
        SocialAccount.objects.create(provider=identity_providers.PROXY, uid=told.address, user=person)
    return person


def _set_roles(person: User, told: Asserted) -> None:
    said = {} if told.groups is None else {identity_providers.ROLES: told.groups}
    accounts = SocialAccount.objects.filter(provider=identity_providers.PROXY, uid=told.address, user=person)
    for account in accounts:
        account.extra_data = {"id_token": said}
        account.save()  # with the time
        identity_providers.assert_roles(person, account)
