"""How two versions are packed, side by side: signature, flavors, requirements; and what they were trained on. Pure.

Reads the evidence's `packaging` and `datasets`, of which any part may be missing."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.evidence.comparison import values
from approvals.evidence.comparison.values import ValueRow, value_rows

Raw = Mapping[str, Any]
PARTS = (("inputs", "Inputs"), ("outputs", "Outputs"), ("params", "Inference parameters"))
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind: the inputs of the signature, the requirements."""

    key: str
    title: str
    rows: Sequence[ValueRow]
    is_compared: bool

    @property
    def changed(self) -> int:
        return sum(row.is_changed for row in self.rows)

    @property
    def tally(self) -> str:
        """`2 of 14 differ`; `14, the same`; the count alone where only one of the two was read."""
        total = f"{len(self.rows):,}"
        if not self.is_compared:
            return total
        return values.differing(self.changed, len(self.rows)) if self.changed else f"{total}, the same"


def compare(challenger: Raw | None, champion: Raw | None) -> list[Group]:
    """The groups of either that have rows; without a champion's packaging every row is the challenger's alone."""
    mine, other = challenger or {}, champion or {}
    pairs: list[tuple[str, str, Mapping[str, str], Mapping[str, str]]] = [
        (part, title, columns(mine, part), columns(other, part)) for part, title in PARTS
    ]
    pairs += [
        ("flavors", "Flavors", _flavors(mine), _flavors(other)),
        ("requirements", "Requirements", requirements(mine), requirements(other)),
        ("environment", "Environment", _environment(mine), _environment(other)),
    ]
    both = bool(mine and other)
    return [Group(key, title, value_rows(ours, theirs), both) for key, title, ours, theirs in pairs if ours or theirs]


def columns(packaging: Raw, part: str) -> dict[str, str]:
    """{column: its type in words}; unnamed ones by their place."""
    signature = packaging.get("signature") or {}
    found = [each for each in signature.get(part) or () if isinstance(each, Mapping)]
    return {str(each.get("name") or f"{place}."): _type(each) for place, each in enumerate(found, start=1)}


def _type(column: Raw) -> str:
    spec = column.get("tensor-spec")
    if isinstance(spec, Mapping):
        words = f"tensor of {spec.get('dtype')}, shape {_plain(spec.get('shape'))}"
    else:
        kind = column.get("type") or column.get("dtype") or "type not said"
        # Objects and arrays say what is in them.
        rest = {key: column[key] for key in ("items", "properties", "values") if column.get(key)}
        words = f"{_plain(kind)} {_plain(rest)}" if rest else _plain(kind)
    if "default" in column:
        words += f", default {_plain(column['default'])}"
    return words if column.get("required", True) else f"{words}, optional"


def requirements(packaging: Raw) -> dict[str, str]:
    """{name: what is asked of it}; `any version` where nothing is."""
    found = {}
    for line in packaging.get("requirements") or ():
        fits = _REQUIREMENT.fullmatch(str(line))
        name, spec = (fits[1], fits[2]) if fits else (str(line), "")
        found[name] = spec.strip() or "any version"
    return found


def _flavors(packaging: Raw) -> dict[str, str]:
    """`sklearn serialization_format` and the like; a flavor that says nothing is only named."""
    found: dict[str, str] = {}
    for name, flavor in (packaging.get("flavors") or {}).items():
        facts = flavor if isinstance(flavor, Mapping) else {}
        found |= {f"{name} · {key}": _plain(value) for key, value in facts.items()} or {str(name): "present"}
    return found


def _environment(packaging: Raw) -> dict[str, str]:
    found = {"Python": packaging.get("python_version") or None, "Size in bytes": packaging.get("model_size_bytes")}
    return {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in found.items() if value}


def datasets(challenger: Sequence[Raw], champion: Sequence[Raw]) -> list[ValueRow]:
    """The data sets of either by name and context, each with its digest and source."""
    return value_rows(dict(_datasets(challenger)), dict(_datasets(champion)))


def _datasets(found: Sequence[Raw]) -> Iterator[tuple[str, str]]:
    for place, each in enumerate(found, start=1):
        context = each.get("context")
        name = f"{each.get('name') or f'data set {place}'}{f' ({context})' if context else ''}"
        source = str(each.get("source") or "")
        says = [str(each.get("digest") or "no digest"), "" if source.startswith("{") else source]
        yield name, " · ".join(filter(None, says))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
