"""A registry with somebody looking before and after every call, and a worker that is killed at one of them."""

import threading
from collections.abc import Callable
from typing import Any

from approvals import watch
from mirror import sync
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL


class Watched:
    """The registry, with somebody looking before and after every call."""

    def __init__(self, registry: FakeRegistry, look: Callable[[], object]) -> None:
        self.registry, self.look, self.looks = registry, look, 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.registry, name)
        if not callable(call):
            return call  # such as the name of the workspace

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._look()
            result = call(*args, **kwargs)
            self._look()
            return result

        return watched

    def _look(self) -> None:
        if threading.current_thread() is threading.main_thread():  # the files are read in others
            self.looks += 1
            self.look()


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the product may catch it."""


def looks(registry: FakeRegistry) -> dict[str, Callable[[], object]]:
    return {
        "look alone": lambda: watch.look(registry),
        "pull": lambda: (sync.pull(registry), watch.look(registry)),
        "sweep": lambda: (sync.sweep(registry), watch.look(registry)),
        "refresh": lambda: (sync.refresh_model(registry, MODEL), watch.look(registry), watch.follow()),
    }


def killed_at(at: int, look: Callable[[], object]) -> Callable[[], None]:
    """For `Watched`: looks right before the end, and is killed at the call `at`. What a look sees earlier is what the
    cases with a lower `at` see at their end."""
    left = at

    def count_down() -> None:
        nonlocal left
        if left <= 2:
            look()
        left -= 1
        if left == 0:
            raise Killed

    return count_down
