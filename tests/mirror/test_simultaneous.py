"""The whole room. Pull, sweep and targeted refreshes in real threads with real commits, while engineers keep changing
the registry."""

import random
import threading
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection

from mirror import sync
from mirror.models import Alias, ModelVersion
from tests.support.fakes import FakeRegistry


def in_thread(work: Callable[[], object], errors: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.usefixtures("committed")
def test_nothing_is_lost_or_wrongly_deleted_when_all_write_at_once() -> None:
    errors: list[BaseException] = []
    registry, chance, is_over = FakeRegistry(), random.Random(7), threading.Event()
    for number in range(60):
        registry.create_version(f"model_{number % 12}")
    sync.sweep(registry)

    def change() -> None:
        for step in range(60):
            model = f"model_{chance.randrange(12)}"
            number = registry.create_version(model)
            registry.set_stage(model, number, "Production", archive_existing=True)
            registry.set_alias(model, "champion", number)
            sync.refresh_model(registry, model)
            if step % 10 == 9:
                registry.delete_version(model, number)

    def until_over(work: Callable[[], object]) -> Callable[[], None]:
        def loop() -> None:
            while not is_over.is_set():
                work()

        return loop

    changing = in_thread(change, errors)
    others = [in_thread(until_over(partial(work, registry)), errors) for work in (sync.pull, sync.sweep)]
    changing.join(60)
    is_over.set()
    for thread in others:
        thread.join(60)
    assert errors == []

    def mirrored() -> set[tuple[str, int, str]]:
        alive = ModelVersion.objects.filter(deleted_at=None)
        return set(alive.values_list("model__name", "number", "stage"))

    really = {(each.model, each.number, each.stage) for page in registry.versions() for each in page}
    sync.pull(registry)
    assert {each for each in really if each not in mirrored()} == set(), "a pull must find whatever a race has hidden"
    sync.sweep(registry)
    assert mirrored() == really
    held = {(each.name, alias, n) for page in registry.models() for each in page for alias, n in each.aliases.items()}
    assert set(Alias.objects.values_list("model__name", "name", "number")) == held
