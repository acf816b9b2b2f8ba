"""The signs of life that `registry_ui.alive` looks for, and where worker and beat give them. Celery imports this by the
names that the settings have; the web process never does."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import structlog
from celery.beat import PersistentScheduler
from celery.worker.consumer import Consumer as CelerysConsumer

from registry_ui import alive

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5


class Heart:
    """A thread that writes down when the loop last went round, and now while it looks for the broker.

    A thread, because the loop itself pauses up to half a minute between two attempts. It says nothing of its own: where
    the loop hangs, what it writes stays as it was.
    """

    def __init__(self, process: str) -> None:
        self.process = process
        self._turned = time.monotonic()
        self._seeks_broker = False
        self._ended = threading.Event()
        self._is_unwritable = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self.write()
        self._thread.start()

    def turn(self) -> None:
        """The loop has gone round once more."""
        self._turned = time.monotonic()

    @contextlib.contextmanager
    def seeking_broker(self) -> Iterator[None]:
        """Meanwhile it is alive: a restart would not bring the broker back, and would end what the worker does. Celery
        gives up by itself after a hundred attempts, each of which has a time limit."""
        self._seeks_broker = True
        try:
            yield
        finally:
            self.turn()
            self._seeks_broker = False

    def write(self) -> None:
        if self._seeks_broker:
            self.turn()
        try:
            alive.write(self.process, self._turned)
        except OSError as error:
            if not self._is_unwritable:  # once: it is tried every few seconds
                log.error("alive.unwritable", process=self.process, folder=str(alive.folder()), error=str(error))
            self._is_unwritable = True

    def stop(self) -> None:
        """In order: who ends so leaves no file behind that would count as hung."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(OSError):
            (alive.folder() / self.process).unlink()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self.write()


class Consumer(CelerysConsumer):  # type: ignore[misc]
    """A worker's: takes messages from the broker."""

    life: Heart  # Celery keeps a `heart` of its own here, which tells the other workers

    def start(self) -> None:
        name = self.hostname.partition("@")[0].replace("/", "-")
        self.life = Heart(f"worker-{name}")
        self.life.start()
        try:
            super().start()
        finally:
            self.life.stop()

    def ensure_connected(self, conn: Any) -> Any:
        with self.life.seeking_broker():
            return super().ensure_connected(conn)

    def register_with_event_loop(self, hub: Any) -> None:
        """The loop for Redis calls what is due by its own timer, so only while it goes round. Celery forgets it with
        the connection, and calls this again with the next one."""
        super().register_with_event_loop(hub)
        self.life.turn()
        hub.timer.call_repeatedly(EVERY_SECONDS, self.life.turn)

    def perform_pending_operations(self) -> None:
        """The loop for the folder broker calls this each time round."""
        self.life.turn()
        super().perform_pending_operations()


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    """Beat's: sends what is due."""

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self.life = Heart("beat")
        self.life.start()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        self.life.turn()
        return super().tick(*args, **kwargs)

    def _ensure_connected(self) -> Any:
        with self.life.seeking_broker():
            return super()._ensure_connected()

    def close(self) -> None:
        super().close()
        self.life.stop()
