"""What a request's page shows as evidence: the frozen facts that the fingerprint covers, in short. The comparison page
(`comparison_page`) shows all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from approvals.evidence import comparison
from approvals.evidence.comparison import overview
from approvals.evidence.comparison.overview import Line
from approvals.models import PromotionRequest
from approvals.views import evidence_tables
from approvals.views.evidence_tables import Shown, Table
from mirror import lineage


@dataclass(frozen=True, slots=True)
class Origin:
    """One line of the provenance: where the challenger comes from, and the champion."""

    question: str
    challenger: str
    champion: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    metrics: Table
    tally: str
    widest: float
    origins: Sequence[Origin]
    lines: Sequence[Line]
    """One sentence for each other part."""

    description: str

    @property
    def changed(self) -> int:
        return sum(line.is_changed for line in self.lines)


def of(request: PromotionRequest, *, show: str = "", number: str | None = None) -> EvidenceSummary:
    """No queries: all of it is in the request. `show` names the table that is shown whole."""
    frozen = json.loads(request.evidence)
    facts, other = frozen["version"], frozen["champion"]
    metrics = comparison.metric_rows(
        evidence_tables.numbers(facts["metrics"]),
        evidence_tables.numbers(other["metrics"]) if other else None,
        sources=evidence_tables.sources(facts, request.version),
        champion_sources=evidence_tables.sources(other, request.champion),
    )
    return EvidenceSummary(
        metrics=evidence_tables.metric_table(metrics, Shown(show, number)),
        tally=comparison.tally(metrics) if other else "",
        widest=comparison.widest(metrics),
        origins=_origins(facts, other),
        lines=overview.lines(facts, other),
        description=facts["description"],
    )


QUESTIONS = ("Training data", "Data up to", "Code", "Run", "Copied from")


def _origins(facts: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[Origin]:
    mine, held = _answers(facts), _answers(champion) if champion else [""] * len(QUESTIONS)
    return [
        Origin(question, answer, before, champion is not None and answer != before)
        for question, answer, before in zip(QUESTIONS, mine, held, strict=True)
        if question != "Copied from" or answer or before
    ]


def _answers(facts: Mapping[str, Any]) -> list[str]:
    """Of the frozen facts; requests from before there were `provenance` and `datasets` have params and tags."""
    known = facts.get("provenance")
    if known is None:
        known = lineage.known(SimpleNamespace(tags=facts.get("tags") or {}, params=facts.get("params") or {}, run={}))
    digests = [
        f"{each.get('name') or 'data set'} ({each['digest']})"
        for each in facts.get("datasets") or ()
        if each.get("digest")
    ]
    data = known.get("training_data_hash") or ", ".join(digests)
    return [
        data,
        known.get("training_cutoff", ""),
        known.get("git_commit", ""),
        facts.get("run_id", ""),
        known.get("copied_from", ""),
    ]
