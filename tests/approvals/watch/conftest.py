import copy

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.world import watched_registry


@pytest.fixture(scope="module")
def kept_registry(kept: None) -> FakeRegistry:
    return watched_registry()


@pytest.fixture
def registry(db: None, kept_registry: FakeRegistry) -> FakeRegistry:
    return copy.deepcopy(kept_registry)
