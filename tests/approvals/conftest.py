"""What the gate's tests begin with, where they say nothing else."""

import copy
from collections.abc import Iterator

import pytest

from accounts.models import User
from tests.support.ci_service import Service
from tests.support.factories import somebody
from tests.support.fakes import FakeRegistry
from tests.support.world import make_registry


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> FakeRegistry:
    """One model with four versions, mirrored; nothing holds a target yet. For cases that go on from what the fixture
    `kept_registry` of their file did, what it left."""
    if "kept_registry" in request.fixturenames:
        return copy.deepcopy(request.getfixturevalue("kept_registry"))
    return make_registry()


@pytest.fixture
def otto(db: None) -> User:
    return somebody("Otto Reyes", "responder")


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()
