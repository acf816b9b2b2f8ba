"""What every page knows of this installation: its name, and how fresh the mirror is. One query, on first use."""

import ipaddress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.functional import SimpleLazyObject

from components import times, unsent
from components.version import VERSION
from mirror import pace
from mirror.models import MirrorState

THEMES = ("light", "dark")


@dataclass
class Site:
    theme: str
    """`light`, `dark`, or "" for what the system prefers."""

    takes_passkeys: bool = True
    """Whether the address it was asked at has a name: at one that is a number, browsers refuse passkeys
    (https://www.w3.org/TR/webauthn-2/#rp-id)."""

    name: str = settings.SITE_NAME
    version: str = VERSION
    mlflow_url: str = settings.MLFLOW_UI_URL
    is_signup_open: bool = settings.SIGNUP_OPEN

    @cached_property
    def mirror(self) -> MirrorState:
        state: MirrorState = MirrorState.objects.current()
        return state

    @property
    def is_stale(self) -> bool:
        """The mirror is older than it should be, for whatever reason: MLflow is silent, or no worker runs."""
        age = self.mirror.age_seconds
        return age is None or age > pace.stale_after(self.mirror)

    @property
    def silence(self) -> str:
        """How MLflow is silent, where it is: without the full stop."""
        if self.mirror.failing_since is not None:
            since = times.brief(self.mirror.failing_since)
            if self.mirror.is_misplaced:
                return f"MLflow has not been read since {since}: check which workspace is set"
            what = "refused Countersign's sign-in" if self.mirror.is_unsigned else "not answered"
            return f"MLflow has {what} since {since}"
        return "MLflow is not being read" if self.mirror.seen_at else "MLflow has not been read yet"


def site(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    kept = SimpleLazyObject(lambda: unsent.of(request))
    found = Site(theme if theme in THEMES else "", takes_passkeys=not _is_number(request))
    return {"site": found, "unsent": kept}


def _is_number(request: HttpRequest) -> bool:
    try:
        ipaddress.ip_address(split_domain_port(request.get_host())[0].strip("[]"))
    except (ValueError, DisallowedHost):
        return False
    return True
