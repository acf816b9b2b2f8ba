import pytest

from tests.support.fakes import FakeRegistry
from tests.support.world import watched_registry


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    return watched_registry()
