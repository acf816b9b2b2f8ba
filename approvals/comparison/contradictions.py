"""Where MLflow's run and LoggedModel say different things of one metric or parameter, in words. Pure."""

from collections.abc import Mapping
from typing import Any

Sources = Mapping[str, Any]


def sentences(name: str, sources: Sources | None, champion_sources: Sources | None) -> tuple[str, ...]:
    """Of the challenger's and the champion's value of this name; the sources are by name, as in `fact_sources`."""
    mine, theirs = ((each or {}).get(name, {}) for each in (sources, champion_sources))
    return (*_told(mine), *(f"Champion: {words}" for words in _told(theirs)))


def _told(source: Mapping[str, Any]) -> list[str]:
    found = []
    if source.get("is_unproven"):
        found.append("MLflow's LoggedModel API answers 0, which may be NaN, and the run that logged it cannot be read.")
    elif "logged_model" in source:
        found.append("MLflow's LoggedModel API answers 0. The run logged NaN, which counts.")
    if "run" in source:
        found.append(f"The run has {source['run']} under this name. The logged model's value counts.")
    return found
