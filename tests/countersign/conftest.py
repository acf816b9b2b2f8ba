"""The product and a stub of its API, and the command against the stub."""

from collections.abc import Iterator

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.support.command_line import Command, command
from tests.support.stub_api import StubApi, serving


@pytest.fixture
def stub() -> Iterator[StubApi]:
    with serving() as made:
        yield made


@pytest.fixture
def run(stub: StubApi) -> Command:
    """`run("status", "12", COUNTERSIGN_URL=…)`: the command against the stub, or with other variables."""
    return lambda *words, **environment: command(*words, **stub.environment(**environment))


@pytest.fixture
def site(committed: None) -> Iterator[str]:
    """The product itself, on the suite's database with real commits; its address."""
    server = LiveServer("127.0.0.1")
    yield server.url
    server.stop()
