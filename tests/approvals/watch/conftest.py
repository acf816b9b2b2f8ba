"""A registry with v6 in Production and champion and v7 in Staging, known to the watch."""

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.world import make_registry, observe


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    fake = make_registry(versions=8, production=6, staging=7)
    assert observe(fake) == 0
    return fake
