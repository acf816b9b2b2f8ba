"""API tokens and service accounts, as lists show them. No list has a token itself: it is kept nowhere."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from accounts.models import ApiToken, TrustedPublisher, User

ENDED = 10
"""So many that have ended are listed below those that work."""


def live(accounts: Iterable[User]) -> list[ApiToken]:
    """Those of these accounts that work, the newest first. One query."""
    return list(_of(accounts).live())


def ended(accounts: Iterable[User]) -> list[ApiToken]:
    """The last ones that were revoked or expired. One query."""
    return list(_of(accounts).filter(_has_ended())[:ENDED])


def everyones(*, are_live: bool) -> QuerySet[ApiToken]:
    """All that work, or all that do not, the newest first."""
    found: QuerySet[ApiToken] = ApiToken.objects.live() if are_live else ApiToken.objects.filter(_has_ended())
    return _with_people(found)


def publishers(accounts: Iterable[User] | None = None) -> list[TrustedPublisher]:
    """Those that are trusted now, of these accounts or of all, by account. One query."""
    found = TrustedPublisher.objects.current().select_related("account__owner", "created_by")
    found = found if accounts is None else found.filter(account__in=list(accounts))
    return list(found.order_by("account__name", "repository", "pk"))


def service_accounts(owner: User | None = None) -> QuerySet[User]:
    """Active ones, of everybody or of one owner, by name; annotated with `live_tokens` and `last_used_at`."""
    found: QuerySet[User] = User.objects.people().active().filter(is_service_account=True).select_related("owner")
    found = found.filter(owner=owner) if owner else found
    works = Q(api_tokens__revoked_at=None, api_tokens__expires_at__gt=timezone.now())
    return found.annotate(
        live_tokens=Count("api_tokens", filter=works), last_used_at=Max("api_tokens__last_used_at")
    ).order_by("name", "email")


def _of(accounts: Iterable[User]) -> Any:
    return _with_people(ApiToken.objects.filter(account__in=list(accounts)))


def _with_people(found: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
    return found.select_related("account__owner", "made_by", "revoked_by").order_by("-created_at", "-pk")


def _has_ended() -> Q:
    return ~Q(revoked_at=None) | Q(expires_at__lte=timezone.now())
