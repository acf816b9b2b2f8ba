"""The identity provider, and this site configured for it."""

from collections.abc import Iterator
from typing import Any

import pytest

from registry_ui.environment import Environment
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Provider:
    """Configured by the environment alone, as an operator does it."""
    monkeypatch.setenv("COUNTERSIGN_OIDC_ISSUER", running.issuer)
    monkeypatch.setenv("COUNTERSIGN_OIDC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("COUNTERSIGN_OIDC_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("COUNTERSIGN_OIDC_NAME", "Example ID")
    monkeypatch.setenv("COUNTERSIGN_OIDC_SCOPE", "openid email profile groups")
    env = Environment()
    settings.SOCIALACCOUNT_PROVIDERS = env.openid_connect()
    env.refuse_nonsense()
    running.reset()
    return running
