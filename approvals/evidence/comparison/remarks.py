"""What else MLflow says about a metric or parameter that is compared, as sentences. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Source = Mapping[str, Any]


def sources(metrics: Iterable[str], frozen: Mapping[str, Any] | None, live: Mapping[str, Any]) -> dict[str, Source]:
    """Of these metrics: what the evidence says of their data sets, and what the mirror knows besides. `frozen` is None
    for evidence from before metrics were kept for each data set."""
    found: dict[str, Source] = {name: {**live.get(name, {}), **(frozen or {}).get(name, {})} for name in metrics}
    if frozen is None:
        sets: dict[str, list[str]] = {}
        for each in live.values():
            if "key" in each:
                sets.setdefault(each["key"], []).append(each["dataset"] or each["digest"])
        found |= {key: {"one_of": names} for key, names in sets.items() if key in found}
    return found


def of_metric(mine: Source, theirs: Source) -> tuple[str, ...]:
    """Sentences on where the two values come from, and on data sets that are not the same data."""
    found = of_value(mine, theirs)
    before, now = theirs.get("digest"), mine.get("digest")
    if before and now and before != now:
        found += (
            f"{mine['dataset'] or 'The data set'} has other data than the champion's: digest {now}, not {before}.",
        )
    return found


def of_value(mine: Source, theirs: Source) -> tuple[str, ...]:
    """Sentences on where the two values come from, the champion's marked as such."""
    return (*_told(mine), *(f"Champion: {words}" for words in _told(theirs)))


def _told(source: Source) -> list[str]:
    found = []
    if source.get("is_unproven"):
        found.append("MLflow's LoggedModel API answers 0, which may be NaN, and the run that logged it cannot be read.")
    elif "logged_model" in source:
        found.append("MLflow's LoggedModel API answers 0. The run logged NaN, which counts.")
    if "run" in source:
        found.append(f"The run has {source['run']} under this name. The logged model's value counts.")
    if "one_of" in source:
        found.append(f"The value logged last of the data sets {listed(source['one_of'])}. Submit again to see each.")
    return found


def listed(names: Sequence[str]) -> str:
    """`test, train and validation`."""
    ordered = sorted(names)
    return f"{', '.join(ordered[:-1])} and {ordered[-1]}" if len(ordered) > 1 else "".join(ordered)
