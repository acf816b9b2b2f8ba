"""Subscribing to a request and muting it. Only about being told, so there is no event for it."""

from django.utils import timezone

from accounts.models import User
from approvals.models import PromotionRequest, Subscription


def subscribe(request: PromotionRequest, person: User) -> None:
    """From here on the person is told its news."""
    _save(request, person, is_muted=False)


def mute(request: PromotionRequest, person: User) -> None:
    """From here on the person is told only what needs them, whether they take part or not."""
    _save(request, person, is_muted=True)


def _save(request: PromotionRequest, person: User, *, is_muted: bool) -> None:
    Subscription.objects.update_or_create(
        request=request, person=person, defaults={"is_muted": is_muted, "changed_at": timezone.now()}
    )
