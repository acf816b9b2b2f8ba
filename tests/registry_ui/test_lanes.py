"""Queues and lanes: who reads what, and how much of a worker each kind of task may take."""

import threading

import pytest
from celery import current_app
from django.conf import settings

from registry_ui import lanes
from registry_ui.lanes import Lane

KINDS = {
    "deliveries": ("approvals.deliver", "approvals.drain"),
    "mirror": ("mirror.pull", "mirror.sweep", "approvals.watch_registry"),
    "files": ("approvals.assess", "approvals.assess_due", "approvals.check_holder_files"),
    "mail": ("approvals.collect_notifications", "approvals.send_notifications", "approvals.remind"),
}


def test_every_task_has_a_lane_and_beat_sends_none_without() -> None:
    current_app.loader.import_default_modules()  # as a worker does
    ours = {name for name in current_app.tasks if not name.startswith("celery.")}
    assert ours == set(lanes.OF_TASK), "Name each task in registry_ui.lanes.LANES."
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= ours


@pytest.mark.parametrize(("queue", "tasks"), KINDS.items())
def test_each_kind_of_work_has_a_queue_of_its_own(queue: str, tasks: tuple[str, ...]) -> None:
    for task in tasks:
        assert current_app.amqp.router.route({}, task)["queue"].name == queue


def test_what_is_sent_to_one_queue_reaches_no_other() -> None:
    with current_app.connection_for_write() as link:
        channel = link.default_channel
        for queue in lanes.QUEUES:
            queue(channel).declare()
            queue(channel).purge()
        current_app.send_task("approvals.deliver", args=[1], connection=link)
        waiting = {queue.name: queue(channel).purge() for queue in lanes.QUEUES}
    assert waiting == {"celery": 0, "deliveries": 1, "mirror": 0, "files": 0, "mail": 0}


@pytest.mark.parametrize("options", [{}, {"pool_cls": "threads", "concurrency": 4}])
def test_a_worker_that_is_not_told_which_reads_all_queues_with_threads_for_each(options: dict[str, object]) -> None:
    worker = current_app.Worker(loglevel="ERROR", **options)
    assert set(current_app.amqp.queues.consume_from) == {"celery", *KINDS}
    assert worker.pool_cls.__module__ == "celery.concurrency.thread"
    assert worker.concurrency == lanes.THREADS > sum(lane.threads for lane in lanes.LANES)


def test_a_full_lane_turns_away_at_once_and_is_free_again_after_an_error() -> None:
    lane = Lane("mail", ("one",))
    assert lane.run(lambda: lane.run(lambda: "inner")) is None
    with pytest.raises(ValueError, match="broken"):
        lane.run(lambda: int("broken"))
    assert lane.run(lambda: "done") == "done"


def test_what_is_hinted_at_while_the_lane_is_full_is_seen_by_who_leaves_it() -> None:
    lane, owed, seen, inside, hinted = (
        Lane("files", ("a",), has_hints=True),
        [1],
        [],
        threading.Event(),
        threading.Event(),
    )

    def work() -> None:
        seen.append(list(owed))
        inside.set()
        assert hinted.wait(10)

    worker = threading.Thread(target=lane.run, args=[work])
    worker.start()
    assert inside.wait(10)
    owed.append(2)
    assert lane.run(work) is None
    hinted.set()
    worker.join(10)
    assert seen == [[1], [1, 2]]
