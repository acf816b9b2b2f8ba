"""Descriptions and long parameters of a comparison, line by line against the baseline's."""

from collections.abc import Sequence
from dataclasses import dataclass

from approvals.evidence.comparison import texts
from approvals.evidence.comparison.edits import Budget
from approvals.views.comparison_sides import Side
from approvals.views.comparison_tables import Wanted

SHOWN = 8


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    side: Side
    mine: str
    other: str
    diff: texts.TextDiff | None
    """None where there is nothing to compare with."""

    @property
    def is_changed(self) -> bool:
        return self.diff is not None and not self.diff.is_same


def texts_of(base: Side | None, others: Sequence[Side], wanted: Wanted) -> list[Text]:
    """Descriptions, and parameters that are read as texts and are not the same."""
    budget = Budget()
    found: list[Text] = []
    for key, title in (("description", "Description"), ("run_description", "Description of the run")):
        for side in others:
            new = str(side.facts.get(key) or "")
            old = str((base.facts.get(key) or "") if base else "")
            if (new.strip() or old.strip()) and wanted.finds(title, new, old):
                found.append(Text(title, side, new, old, texts.compare(old, new, budget) if base else None))
    before = (base.facts.get("params") or {}) if base else {}
    for side in others if base else ():
        params = side.facts.get("params") or {}
        for name in sorted({*params, *before}):
            new, old = str(params.get(name, "")), str(before.get(name, ""))
            if new != old and (texts.is_long(new) or texts.is_long(old)) and wanted.finds(name, new, old):
                # Only what is shown is compared; the others are counted.
                diff = texts.compare(old, new, budget) if len(found) < SHOWN else None
                found.append(Text(f"Parameter {name}", side, new, old, diff))
    return found
