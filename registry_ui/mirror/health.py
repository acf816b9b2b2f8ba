"""Records in MirrorState whether MLflow answers; pages and /readyz know it from there alone."""

from typing import Any

from django.db.models.functions import Coalesce
from django.utils import timezone

from registry_ui.mirror.models import MirrorState
from registry_ui.mirror.registry import RegistryError


def answered(**facts: Any) -> None:
    """MLflow answered; `facts` are further columns (pulled_at, cursor, …)."""
    MirrorState.objects.record(failing_since=None, error="", **facts)


def failed(error: RegistryError) -> None:
    """MLflow refused or did not answer. `failing_since` keeps the first time."""
    now = timezone.now()
    MirrorState.objects.record(failing_since=Coalesce("failing_since", now), failed_at=now, error=error.message[:2000])
