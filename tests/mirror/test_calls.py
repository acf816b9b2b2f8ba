"""Every call of the registry is told, and is otherwise what it was."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mirror import calls
from mirror.port import Denied, NotFound, Outdated, Refused, Registry, RegistryError, Unreachable, Unsigned
from tests.support.fakes import FakeRegistry


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, float]]]:
    found: list[tuple[str, str, float]] = []

    def listen(*, call: str, outcome: str, seconds: float, **_: Any) -> None:
        found.append((call, outcome, seconds))

    calls.called.connect(listen)
    yield found
    calls.called.disconnect(listen)


def words(heard: list[tuple[str, str, float]]) -> list[tuple[str, str]]:
    return [(call, outcome) for call, outcome, _ in heard]


@pytest.fixture
def fake() -> FakeRegistry:
    fake = FakeRegistry(limit=5000)
    fake.create_version("churn_predictor")
    return fake


def test_it_answers_as_the_registry_does(fake: FakeRegistry, heard: list[tuple[str, str, float]]) -> None:
    registry = calls.told(fake)
    assert registry.version("churn_predictor", 1) == fake.version("churn_predictor", 1)
    assert list(registry.versions(model="churn_predictor")) == list(fake.versions(model="churn_predictor"))
    assert (registry.address, registry.workspace) == (fake.address, fake.workspace)
    assert words(heard) == [("version", "ok"), ("versions", "ok")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Unreachable("x"), "unreachable"),
        (NotFound("x"), "not_found"),
        (Outdated("x"), "outdated"),
        (Denied("x"), "denied"),
        (Unsigned("x"), "denied"),
        (Refused("x"), "refused"),
        (RegistryError("x"), "error"),
        (KeyError("x"), "error"),
    ],
)
def test_what_came_of_it(
    fake: FakeRegistry,
    heard: list[tuple[str, str, float]],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    outcome: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fake, "set_alias", fail)
    with pytest.raises(type(error)):
        calls.told(fake).set_alias("churn_predictor", "champion", 1)
    assert words(heard) == [("set_alias", outcome)]


class Pages:
    """Two pages, each of which takes a moment; then it breaks off, if it does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def models(self) -> Iterator[list[str]]:
        for page in (["a"], ["b"]):
            time.sleep(0.01)
            yield page
        if self.error:
            raise self.error


def told(pages: Pages) -> Registry:
    return calls.told(pages)  # type: ignore[arg-type]


def test_a_list_in_pages_is_one_call_without_what_is_done_between_them(heard: list[tuple[str, str, float]]) -> None:
    for _ in told(Pages()).models():
        time.sleep(0.2)
    [(call, outcome, seconds)] = heard
    assert (call, outcome) == ("models", "ok")
    assert 0.02 <= seconds < 0.4


def test_a_list_that_breaks_off_or_is_left_is_told_too(heard: list[tuple[str, str, float]]) -> None:
    with pytest.raises(Unreachable):
        list(told(Pages(Unreachable("gone"))).models())
    next(iter(told(Pages()).models()))
    assert words(heard) == [("models", "unreachable"), ("models", "ok")]


def test_a_registry_without_credentials_is_told_of_as_well(
    heard: list[tuple[str, str, float]], fake: FakeRegistry
) -> None:
    calls.told(fake).unsigned().ping()
    assert words(heard) == [("ping", "ok")]
