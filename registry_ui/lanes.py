"""How Celery's tasks share a worker, so that none waits behind another: each kind of work has a queue, and in each
worker threads of its own.

A task that finds its threads at work gives way at once. Nothing is lost by that: what is owed is in the database, and
whoever is at it, or the next tick of beat, sees it. So no number of queued messages takes all threads of a worker, and
every queue is read all the time. Read by the settings: no Django here.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery import Task, signals
from kombu import Exchange, Queue

from mirror.stopping import is_stopping

DELIVERIES, MIRROR, FILES, MAIL = "deliveries", "mirror", "files", "mail"
REST = "celery"
"""The queue of everything that takes a moment, and of what an older version has sent."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Threads of one process that belong to some tasks."""

    queue: str
    tasks: tuple[str, ...]
    threads: int = 1
    has_hints: bool = False
    """Whether a message may name something new: who finds the lane full leaves word, and who is in it goes again."""

    _free: threading.Semaphore = field(init=False)
    _again: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_free", threading.Semaphore(self.threads))

    def run(self, work: Callable[[], Any]) -> Any:
        """What `work` returns; None when all threads of the lane are at work."""
        result = None
        self._again.set()  # before the attempt: else who leaves in between would not see it
        while self._again.is_set() and self._free.acquire(blocking=False):
            self._again.clear()
            try:
                result = work()
            finally:
                self._free.release()
            if not self.has_hints:
                break
        return result


LANES = (
    Lane(DELIVERIES, ("approvals.deliver", "approvals.drain"), threads=3, has_hints=True),
    Lane(DELIVERIES, ("approvals.put_back",)),
    Lane(MIRROR, ("mirror.pull",)),
    Lane(MIRROR, ("mirror.sweep",)),
    Lane(MIRROR, ("mirror.follow_hints",), has_hints=True),
    Lane(MIRROR, ("approvals.watch_registry",)),
    Lane(MIRROR, ("approvals.watch",)),
    Lane(FILES, ("approvals.assess", "approvals.assess_due"), threads=2, has_hints=True),
    Lane(FILES, ("approvals.check_holder_files",)),
    Lane(FILES, ("approvals.call_checks",)),
    Lane(MAIL, ("approvals.collect_notifications",)),
    Lane(MAIL, ("approvals.send_notifications",)),
    Lane(MAIL, ("approvals.remind",)),
    Lane(MAIL, ("approvals.send_webhooks",)),
    Lane(REST, ("approvals.expire",)),
    Lane(REST, ("approvals.end_probations",)),
    Lane(REST, ("approvals.call_out_overdue",)),
    Lane(REST, ("approvals.sign_policy",)),
    Lane(REST, ("approvals.probe_gate",)),
    Lane(REST, ("approvals.verify_ledger",)),
    Lane(REST, ("approvals.checkpoint", "approvals.sign_wanted"), has_hints=True),
    Lane(REST, ("approvals.prune",)),
    Lane(REST, ("accounts.prune_sessions",)),
)
OF_TASK = {task: lane for lane in LANES for task in lane.tasks}
THREADS = sum(lane.threads for lane in LANES) + 1
"""With one more than the lanes have, there is always one that reads the next message."""

QUEUES = [
    Queue(name, Exchange(name, type="direct"), routing_key=name) for name in (REST, DELIVERIES, MIRROR, FILES, MAIL)
]
ROUTES = {task: {"queue": lane.queue} for task, lane in OF_TASK.items()}


class LaneTask(Task):  # type: ignore[misc]
    """The class of all tasks: each runs in its lane."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from registry_ui.metrics import processes  # noqa: PLC0415 -- not before registry_ui.gunicorn says where it counts

        return OF_TASK[self.name].run(lambda: processes.timed(self.name, lambda: self.run(*args, **kwargs)))


def _make_room(sender: Any, **_: Any) -> None:
    """A worker of threads has as many as the lanes need, also where its command line says less. They are started when
    they are needed, and those of queues that it does not read never are."""
    if getattr(sender.pool_cls, "__module__", sender.pool_cls) in ("celery.concurrency.thread", "threads"):
        sender.concurrency = max(sender.concurrency, THREADS)


def _stop(**_: Any) -> None:
    is_stopping.set()


signals.worker_init.connect(_make_room)
signals.worker_shutting_down.connect(_stop)
