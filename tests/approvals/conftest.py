"""What the gate's tests begin with, where they say nothing else."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from tests.support.ci_service import Service
from tests.support.factories import make_person
from tests.support.fakes import FakeRegistry
from tests.support.world import make_registry


@pytest.fixture
def registry() -> FakeRegistry:
    """One model with four versions, mirrored; nothing holds a target yet."""
    return make_registry()


@pytest.fixture
def otto(db: None) -> User:
    return make_person("Otto Reyes", "responder")


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()
