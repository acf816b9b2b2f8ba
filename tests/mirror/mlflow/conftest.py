"""A server that says what it is told, for how the adapter understands it."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.scripted import Scripted


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield scripted
        scripted.shutdown()
