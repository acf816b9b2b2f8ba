"""Rows: full mirror, pull when nothing changed, and the model list page against MLflow's own search."""

from collections.abc import Iterator
from typing import Any

from django.test import Client

from accounts.models import User
from bench.report import Row, medians, milliseconds
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import ModelVersion


def rows(url: str, *, versions: int) -> Iterator[Row]:
    registry = MlflowRegistry(url, timeout_seconds=300)

    def throw_away() -> None:
        for pages in (registry.models(), registry.versions()):
            for _ in pages:
                pass

    throw_away()  # warm: the server's page cache
    fetch = milliseconds(throw_away)
    mirror = milliseconds(lambda: sync.sweep(registry))
    fetch = (fetch + milliseconds(throw_away)) / 2
    found = ModelVersion.objects.count()
    if found != versions:
        raise RuntimeError(f"{found} versions were mirrored, not {versions}.")
    yield Row(f"full mirror of {versions:,} versions, empty database", mirror, fetch, bar=1.25)
    again = milliseconds(lambda: sync.sweep(registry))
    yield Row("  the same again, nothing changed", again, fetch, bar=1.25)

    def search() -> None:
        next(iter(registry.versions(page_size=100)))

    sync.pull(registry)
    searched, pulled = medians(search, lambda: sync.pull(registry), rounds=15)
    yield Row("pull when nothing changed", pulled, searched, bar=1.2, note="Limit: the one search request.")

    browser = signed_in_client()

    def page() -> None:
        answer = browser.get("/models/")
        if answer.status_code != 200:
            raise RuntimeError(f"/models/ answered {answer.status_code}.")

    searched, shown = medians(lambda: next(iter(registry.models(page_size=100))), page, rounds=15)
    yield Row("model list page", shown, searched, bar=0.5, note="Limit: MLflow's registered-models/search, 100 rows.")


def signed_in_client() -> Client:
    """A browser of somebody with every role, so that no part of a page is left out."""
    from django.contrib.auth.models import Group

    person: Any = User.objects.filter(email="bench@example.com").first() or User.objects.create_user(
        email="bench@example.com", name="Bench"
    )
    person.groups.set(Group.objects.all())
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client
