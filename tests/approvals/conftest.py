"""What the gate's tests begin with, where they say nothing else."""

import pytest

from accounts.models import User
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
