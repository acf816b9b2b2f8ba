"""What a scraper reads."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from registry_ui.metrics import database

Labels = frozenset[tuple[str, str]]


def values(families: Iterable[Metric]) -> dict[str, dict[Labels, float]]:
    """By name of the sample and its labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def parsed(text: str) -> dict[str, dict[Labels, float]]:
    return values(text_string_to_metric_families(text))


class Numbers:
    """Those of the database, by name without the prefix."""

    def __init__(self) -> None:
        self._found = values(database.numbers())

    def __call__(self, name: str, **labels: str) -> float:
        return self._found[database.PREFIX + name][frozenset(labels.items())]

    def has(self, name: str) -> bool:
        return database.PREFIX + name in self._found
