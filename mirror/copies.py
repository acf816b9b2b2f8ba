"""Follows a version that was copied from another one (`models:/dev.two/1`) to its LoggedModel. For `facts`."""

import re
from typing import Any, TypeAlias

from mirror.models import ModelVersion
from mirror.port import NotFound, Refused, Registry, VersionSnapshot
from mirror.rows import moment

MOST_COPIES = 10
"""So long a chain is followed; no one copies as often."""

PREFIX = "models:/"
_BY_NUMBER = re.compile(r"models:/([^/]+)/([0-9]{1,9})")
_BY_ALIAS = re.compile(r"models:/([^/]+)@([\w-]+)")

Origin: TypeAlias = dict[str, Any]
"""`source`: where it began. `chain`: [{"model", "number"}, …], the nearest first. `logged_model_id` of the last, or "".
`problem`: why the chain could not be followed to its end, as a sentence."""


def followed(registry: Registry, row: ModelVersion) -> Origin | None:
    """Where the version was copied from; None for one that is no copy. What was found once is not asked for again: a
    source does not change. Raises Unreachable."""
    if row.logged_model_id or not _is_copy(row.source):
        return None
    known: Origin = row.run.get("copied_from") or {}
    if known.get("source") == row.source and not known.get("problem"):
        return known
    found: Origin = {"source": row.source, "chain": [], "logged_model_id": "", "problem": ""}
    source = row.source
    while _is_copy(source) and not found["problem"]:
        version, found["problem"] = _read(registry, source, row)
        if version is None:
            break
        step = {"model": version.model, "number": version.number}
        if step in found["chain"] or (version.model, version.number) == (row.model.name, row.number):
            found["problem"] = "The sources lead in a circle."
        elif len(found["chain"]) == MOST_COPIES:
            found["problem"] = f"It was copied more than {MOST_COPIES} times."
        else:
            found["chain"].append(step)
            found["logged_model_id"], source = version.logged_model_id, version.source
            if version.logged_model_id:
                break
    if found["problem"]:
        found["logged_model_id"] = ""
    return found


def _is_copy(source: str) -> bool:
    return bool(_BY_NUMBER.fullmatch(source) or _BY_ALIAS.fullmatch(source))


def _read(registry: Registry, source: str, row: ModelVersion) -> tuple[VersionSnapshot | None, str]:
    """The version that a source names, and why it is not the one that was copied."""
    shown = source.removeprefix(PREFIX)
    try:
        if named := _BY_NUMBER.fullmatch(source):
            version = registry.version(named[1], int(named[2]))
        else:  # MLflow writes the number instead when it copies; a source that a person wrote may have an alias
            name, _, alias = source.removeprefix(PREFIX).rpartition("@")
            number = registry.model(name).aliases.get(alias)
            if number is None:
                return None, f"{shown} names no version in MLflow any more."
            version = registry.version(name, number)
    except NotFound:
        return None, f"{shown} no longer exists in MLflow."
    except Refused as error:
        return None, f"{shown} can't be read: {error.message}"
    if moment(version.created_at) > row.created_at:
        return None, f"{shown} was registered after this version was copied: it is not the one that was copied."
    return version, ""
