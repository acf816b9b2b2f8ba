"""Waiting for what happens elsewhere: in a thread, a process or a server."""

import time
from collections.abc import Callable

from django.db import connection


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
        connection.close()
    return True
