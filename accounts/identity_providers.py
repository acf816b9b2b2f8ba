"""Identity providers that decide about roles: which groups of theirs mean which role or group here.

What stands on some right side of such a list belongs to the provider, for people who have an account there: it is set
at each of their sign-ins to what the provider says, and by no one here. What does the setting lies above (the ledger
has it), and listens to `roles_asserted`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import Group
from django.dispatch import Signal

from accounts import roles, security_log
from accounts.models import User
from accounts.security_log import Event

roles_asserted = Signal()
"""With `person`, `provider` (IdentityProvider) and `values`: those of the claim that the list knows. Before the session
begins; what a listener raises ends the sign-in."""

ROLES = "roles"
"""Under this name `claims` keeps the values that the list knows; missing, where the provider did not send the claim."""


PROXY = "proxy"
"""The id of the reverse proxy that signs people in by a header (`accounts.proxy`)."""


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    id: str
    name: str
    claim: str
    roles: tuple[tuple[str, str], ...]
    """Pairs of a value there and the role or group here that it means."""

    @property
    def decided(self) -> frozenset[str]:
        """Names of the roles and groups that belong to it."""
        return frozenset(group for _, group in self.roles)

    def granted(self, values: Collection[str]) -> frozenset[str]:
        """What these values mean."""
        return frozenset(group for value, group in self.roles if value in values)


def deciding() -> list[IdentityProvider]:
    """Those that are configured with a list of roles."""
    apps = settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", [])
    header, meaning = settings.PROXY_AUTH.groups_header, tuple(settings.PROXY_AUTH.roles)
    proxy = [IdentityProvider(PROXY, "the sign-in proxy", header, meaning)] if meaning else []
    return proxy + [
        IdentityProvider(app["provider_id"], app["name"], given["roles_claim"], tuple(map(tuple, given["roles"])))
        for app in apps
        if (given := app["settings"]).get("roles")
    ]


def decided_for(person: User) -> dict[str, str]:
    """Names of the roles and groups of this person that are decided elsewhere, and by whom. One query at most."""
    providers = {each.id: each for each in deciding()}
    if not providers or person.is_service_account:
        return {}
    accounts = SocialAccount.objects.filter(user=person, provider__in=providers).values_list("provider", flat=True)
    return {group: providers[each].name for each in sorted(accounts) for group in providers[each].decided}


def heard(account: SocialAccount) -> list[str] | None:
    """The values that the provider named when this person last signed in; None: it did not send the claim."""
    said: Mapping[str, Any] = account.extra_data.get("id_token", {})
    return said.get(ROLES)


def is_known(account: SocialAccount) -> bool:
    """Whether what the provider says of somebody new means any role."""
    return any(each.id == account.provider and each.granted(heard(account) or ()) for each in deciding())


def end_unproven(person: User, through: SocialAccount) -> None:
    """To be called when a provider vouches for the person's address, before that is noted. If nobody did before, other
    accounts there that lead to this person may be of a stranger who typed the address and waits for its owner."""
    if not EmailAddress.objects.filter(user=person, email=person.email.lower(), verified=True).exists():
        others = SocialAccount.objects.filter(user=person).exclude(provider=PROXY)
        for account in others.exclude(provider=through.provider, uid=through.uid):
            security_log.record(Event.PROVIDER_UNLINKED, person=person.pk, provider=account.provider)
            account.delete()


def assert_roles(person: User, account: SocialAccount) -> None:
    """Has the roles set that the provider decides about, if it decides about any and has said what they are."""
    for provider in deciding():
        if provider.id != account.provider:
            continue
        values = heard(account)
        if values is None:
            security_log.record(Event.IDENTITY_CLAIM_MISSING, person=person.pk, provider=provider.name)
        else:
            roles_asserted.send(sender=IdentityProvider, person=person, provider=provider, values=values)


@dataclass(frozen=True, slots=True)
class State:
    """How it goes with what a provider decides."""

    provider: IdentityProvider
    unknown: list[str]
    """What stands on a right side and is neither role nor group."""

    keeps_administrator: bool
    """The last administrator would be none by what it said of them."""

    last_at: datetime | None
    """When somebody last signed in through it."""

    was_silent: bool
    """It sent no claim then."""


def states() -> list[State]:
    """Of each that decides about roles. Up to four queries for each."""
    return [_state(each) for each in deciding()]


def _state(provider: IdentityProvider) -> State:
    there = set(Group.objects.filter(name__in=provider.decided).values_list("name", flat=True))
    accounts = SocialAccount.objects.filter(provider=provider.id)
    last = accounts.order_by("-last_login").first()
    keeps = False
    if roles.ADMINISTRATOR in provider.decided:
        administrators = User.objects.active().filter(groups__name=roles.ADMINISTRATOR)[:2]
        sole = accounts.filter(user=administrators[0]).first() if len(administrators) == 1 else None
        said = heard(sole) if sole else None
        keeps = said is not None and roles.ADMINISTRATOR not in provider.granted(said)
    return State(
        provider,
        unknown=sorted(provider.decided - there),
        keeps_administrator=keeps,
        last_at=last.last_login if last else None,
        was_silent=last is not None and heard(last) is None,
    )
