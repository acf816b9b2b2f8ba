"""The quick way to see what a sweep has to write finds what comparing all columns finds, on either database."""

import random
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mirror import rows, sync, unchanged
from mirror.models import ModelVersion
from mirror.port import VersionSnapshot
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db

ODD = (
    "",
    "plain",
    'a "quoted" \\ backslash / slash',
    "two\nlines\tand\r\b\f",
    "\x01 \x1e \x1f \x7f",
    "Größe 模型 🎛 \u2028",
    "é e\u0301",
)


def listed(registry: FakeRegistry) -> list[VersionSnapshot]:
    return [each for page in registry.versions(by_name=True) for each in page]


def one_by_one(page: list[VersionSnapshot]) -> list[VersionSnapshot]:
    known = rows.known_versions(page)
    return [each for each in page if known.get((each.model, each.number)) != rows.version_digest(each)]


@pytest.fixture
def odd(registry: FakeRegistry) -> FakeRegistry:
    for index, text in enumerate(ODD):
        for number in (1, 2, 3):
            registry.create_version(f"model {text} {index}", run_id=registry.log_run({}) if number == 1 else "")
            registry.set_description(f"model {text} {index}", number, text * number)
            for tag, key in enumerate(ODD[1 : number + 2]):
                registry.set_tag(f"model {text} {index}", number, key, ODD[-tag])
            for key in ("b", "aa", "a", "é"):
                registry.set_tag(f"model {text} {index}", number, key, text)
    sync.sweep(registry)
    return registry


def test_what_is_equal_costs_one_query_whatever_characters_it_has(odd: FakeRegistry) -> None:
    page = listed(odd)
    assert len(page) == 3 * len(ODD)
    with CaptureQueriesContext(connection) as queries:
        assert unchanged.differing(page) == ([], set())
    assert len(queries) == 1


@pytest.mark.each_database
@pytest.mark.parametrize(
    "change",
    [
        {"stage": "Staging"},
        {"description": "plain\x1f"},
        {"status": "FAILED"},
        {"status_message": "x"},
        {"source": "s3://elsewhere"},
        {"run_id": "another"},
        {"run_link": "https://run.example.com"},
        {"logged_model_id": "m-1"},
        {"tags": {"a": "plain"}},
        {"created_at": 1},
        {"last_updated_at": 1_750_000_000_001},
    ],
)
def test_whatever_differs_is_found(odd: FakeRegistry, change: dict[str, Any]) -> None:
    page = listed(odd)
    page[4] = replace(page[4], **change)
    assert unchanged.differing(page) == ([page[4]], {(page[4].model, page[4].number)})


def test_what_is_new_marked_or_missing_is_told_apart(odd: FakeRegistry) -> None:
    page = listed(odd)
    new = replace(page[0], number=9)
    assert unchanged.differing([*page, new]) == ([new], set())
    ModelVersion.objects.filter(model__name=page[3].model, number=page[3].number).update(deleted_at=rows.moment(5))
    assert unchanged.differing(page) == ([page[3]], {(page[3].model, page[3].number)})
    assert unchanged.differing([each for each in page if each is not page[3]]) == ([], set())
    assert unchanged.differing(page[5:7]) == ([], set()), "a page may begin and end within a model"


def test_both_ways_agree_on_any_mixture_in_any_order(odd: FakeRegistry) -> None:
    chance = random.Random(14)
    for _ in range(15):
        page = listed(odd)
        for index in chance.sample(range(len(page)), 5):
            page[index] = replace(page[index], description=chance.choice(ODD), stage=chance.choice(["None", "Staging"]))
        chance.shuffle(page)
        page = page[: chance.randrange(1, len(page))]
        assert unchanged.differing(page)[0] == one_by_one(page)


def test_held_numbers_are_those_that_are_not_marked(odd: FakeRegistry) -> None:
    ModelVersion.objects.filter(number=2).update(deleted_at=rows.moment(5))
    last = ModelVersion.objects.order_by("pk").last()
    assert last is not None
    assert {frozenset(numbers) for _, numbers in unchanged.held_numbers(last.pk)} == {frozenset({1, 3})}
    assert len(dict(unchanged.held_numbers(last.pk))) == len(ODD)
    assert dict(unchanged.held_numbers(0)) == {}
