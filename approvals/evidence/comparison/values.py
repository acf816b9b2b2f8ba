"""Named values of two versions side by side: params, tags, columns of a signature, requirements. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.evidence.comparison import remarks


@dataclass(frozen=True, slots=True)
class ValueRow:
    name: str
    challenger: str | None
    champion: str | None
    remarks: Sequence[str] = ()
    """Sentences: what else MLflow says about it."""

    @property
    def is_changed(self) -> bool:
        return self.challenger != self.champion

    @property
    def change(self) -> str:
        """`added`, `removed`, `changed`, or "" where both are the same."""
        if not self.is_changed:
            return ""
        return "added" if self.champion is None else "removed" if self.challenger is None else "changed"


_ORDER = ("changed", "removed", "added", "")


def value_rows(
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    *,
    sources: Mapping[str, Any] | None = None,
    champion_sources: Mapping[str, Any] | None = None,
) -> list[ValueRow]:
    """Params or tags of either: what changed, was removed or added, then what is the same. The sources are those of
    the challenger's and the champion's values by name."""
    other = champion or {}
    rows = [
        ValueRow(
            name,
            _text(challenger.get(name)),
            _text(other.get(name)),
            remarks.of_value((sources or {}).get(name, {}), (champion_sources or {}).get(name, {})),
        )
        for name in sorted({*challenger, *other})
    ]
    return sorted(rows, key=lambda row: _ORDER.index(row.change))


def differing(changed: int, total: int) -> str:
    """`3 of 14 differ`."""
    return f"{changed:,} of {total:,} {'differs' if changed == 1 else 'differ'}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
