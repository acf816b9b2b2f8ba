"""Who may read how the installation is: metrics, and the sentences of /readyz."""

from django.conf import settings
from django.utils.crypto import constant_time_compare


def may_read(authorization: str) -> bool:
    """Whether the header carries COUNTERSIGN_METRICS_TOKEN as a bearer token; never where none is set."""
    scheme, _, given = authorization.partition(" ")
    token = settings.METRICS_TOKEN
    return bool(token) and scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)
