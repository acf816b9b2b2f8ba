"""How often a token, and a client without a good one, may ask in a minute."""

from allauth.core.internal.ratelimit import truncate_ip
from django.conf import settings

from accounts.limits import Limiter
from api.problems import Problem

LIMITER = Limiter()


def check_token(token: int) -> None:
    """Raises Problem 429 for a token that asks too often."""
    _check(f"api:token:{token}", settings.API_REQUESTS_PER_MINUTE, "this token")


def check_address(address: str) -> None:
    """Raises Problem 429 for a client that asks too often without a good token. A network of IPv6 is one client: each
    host of it has addresses without number."""
    _check(f"api:address:{truncate_ip(address)}", settings.API_ANONYMOUS_PER_MINUTE, "a client without a valid token")


def _check(client: str, most: int, who: str) -> None:
    if wait := LIMITER.hit(client, most):
        detail = f"At most {most} requests a minute are answered to {who}. Try again in {wait} seconds."
        raise Problem(429, "too_many_requests", detail, headers={"Retry-After": str(wait)})
