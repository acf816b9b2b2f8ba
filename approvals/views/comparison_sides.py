"""The versions that a comparison holds side by side, with their facts: of a request the frozen ones, else what the
mirror has now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals import evidence, policy
from approvals.evidence import comparison
from approvals.models import PromotionRequest
from mirror.models import Inspection, ModelVersion

MOST_VERSIONS = 4
NOTHING = comparison.Tally()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the versions: its facts as `evidence.freeze` has them, and what was read of its run."""

    role: str
    """`Champion`, `Requested`, `Baseline`, or ""."""

    version: ModelVersion
    facts: Mapping[str, Any]
    curves: Mapping[str, Any]
    place: int = 1
    """Its column: 0 is the baseline. A version alone is held against none, and has 1."""

    tally: comparison.Tally = NOTHING
    """Of the metrics against the baseline; empty where there is nothing to compare with."""

    @property
    def number(self) -> int:
        return self.version.number

    @property
    def label(self) -> str:
        return f"{self.role}, version {self.number}" if self.role else f"Version {self.number}"


def frozen(request: PromotionRequest, evidence_: Mapping[str, Any]) -> list[Side]:
    """The champion, where there was one, and the version asked for. `evidence_` is the request's, parsed."""
    champion = request.champion if request.champion_id != request.version_id else None
    found = _inspections([request.version, champion])
    mine = Side("Requested", request.version, evidence_["version"], _curves(found, request.version))
    if champion is None or not evidence_["champion"]:
        return [mine]
    champion.model = request.version.model
    read = found.get(champion.pk)
    facts = {**evidence_["champion"], "files": read.files if read else None}
    return [Side("Champion", champion, facts, _curves(found, champion)), mine]


def current(versions: Sequence[ModelVersion]) -> list[Side]:
    """As the mirror has them."""
    found = _inspections(versions)
    roles = ["Baseline" if len(versions) > 2 else "", *[""] * (len(versions) - 1)]
    return [
        Side(role, each, _facts_now(each), _curves(found, each)) for role, each in zip(roles, versions, strict=True)
    ]


def _facts_now(version: ModelVersion) -> dict[str, Any]:
    """As a request would freeze them, but with the run's whole description: nothing is kept here."""
    note = str((version.run.get("tags") or {}).get("mlflow.note.content") or "")
    return {**evidence.version_facts(version, policy.FALLBACK), "run_description": note}


def _inspections(versions: Sequence[ModelVersion | None]) -> dict[int, Inspection]:
    wanted = [version for version in versions if version]
    found = {row.version_id: row for row in Inspection.objects.filter(version__in=wanted)}
    for version in wanted:  # so that no one asks the database once more
        if row := found.get(version.pk):
            version.inspection = row
    return found


def _curves(found: Mapping[int, Inspection], version: ModelVersion) -> Mapping[str, Any]:
    return found[version.pk].curves if version.pk in found else {}
