"""Calls that run at the same moment, each in a thread with a connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection

from approvals.workflow import WorkflowError


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Runs the calls in threads that start together; returns results, with WorkflowErrors in place of the refused."""
    barrier = threading.Barrier(len(calls))
    results: list[object] = [None] * len(calls)

    def run(index: int, call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results[index] = call()
        except WorkflowError as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
