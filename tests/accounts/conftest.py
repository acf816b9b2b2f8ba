"""The identity provider, this site configured for it, and what the security log got."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts import security_log
from accounts.security_log import Event
from registry_ui import sign_in
from registry_ui.environment import Environment
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider

Configure = Callable[..., None]
Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Configure:
    """`configure(ISSUER=…)` sets COUNTERSIGN_OIDC_ISSUER, as an operator does it, and reads all of them anew."""

    def set_and_read(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"COUNTERSIGN_OIDC_{name}", value)
        env = Environment()
        settings.SOCIALACCOUNT_PROVIDERS = sign_in.openid_connect(env)
        env.refuse_nonsense()

    return set_and_read


@pytest.fixture
def provider(running: Provider, configure: Configure, settings: Any) -> Provider:
    """Anybody may sign up through it, and it decides about no roles."""
    configure(
        ISSUER=running.issuer,
        CLIENT_ID=CLIENT_ID,
        CLIENT_SECRET=CLIENT_SECRET,
        NAME="Example ID",
        SCOPE="openid email profile groups",
    )
    settings.OIDC_SIGNUP_OPEN = True
    running.reset()
    return running


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """`lines()`: those of the security log so far; `lines(event)`: of one kind."""

    def read(event: Event | None = None) -> list[dict[str, Any]]:
        records = [*caplog.get_records("setup"), *caplog.records]
        found: list[Any] = [each.msg for each in records if each.name == security_log.LOGGER]
        return [each for each in found if event is None or each["event"] == event]

    return read
