"""What a request's page shows as evidence: the frozen facts that the fingerprint covers, in short. The comparison page
(`comparison_page`) shows all of them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from approvals.evidence import comparison
from approvals.evidence.comparison import overview
from approvals.models import PromotionRequest
from approvals.selectors import frozen_metrics
from approvals.views import evidence_tables
from approvals.views.evidence_tables import Shown, Table
from mirror import lineage

HASH = re.compile(r"^(?:sha256:)?[0-9a-fA-F]{16,}$")


@dataclass(frozen=True, slots=True)
class Origin:
    """One answer to where the challenger comes from, beside the champion's; "" is not known."""

    question: str
    challenger: str
    champion: str
    is_changed: bool
    is_hash: bool
    """Of both, what is known is a long hash: its first characters say enough."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the evidence beside the metrics: where it comes from, or a sentence about the rest."""

    title: str
    key: str
    """Where the comparison page shows it."""

    sentence: str = ""
    origin: Origin | None = None
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    metrics: Table
    tally: comparison.Tally
    """Beside the champion's; empty without one."""

    widest: float
    has_worse: bool
    """A metric got worse, or has no number any more."""

    origins: Mapping[str, Origin]
    first: Sequence[Section]
    """What a reviewer reads: what differs from the champion, and what is not known; of a first promotion where it comes
    from."""

    folded: Sequence[Section]
    description: str

    @property
    def changed(self) -> int:
        return sum(section.is_changed for section in self.first)

    @property
    def total(self) -> int:
        return len(self.first) + len(self.folded)


def of(request: PromotionRequest, *, show: str = "", number: str | None = None) -> EvidenceSummary:
    """No queries: all of it is in the request. `show` names the table that is shown whole."""
    frozen = json.loads(request.evidence)
    facts, other = frozen["version"], frozen["champion"]
    metrics = frozen_metrics.rows_of(request)
    origins = _origins(facts, other)
    sections = [Section(each.question, "data", origin=each, is_changed=each.is_changed) for each in origins]
    sections += [
        Section(line.title, line.key, sentence=line.sentence, is_changed=line.is_changed)
        for line in overview.lines(facts, other)
        if line.key != "data" or _has_sets_beside_hash(facts)
    ]
    first = [each for each in sections if _is_read_first(each, is_compared=other is not None)]
    return EvidenceSummary(
        metrics=evidence_tables.metric_table(metrics, Shown(show, number)),
        tally=comparison.tally(metrics if other else ()),
        widest=comparison.widest(metrics),
        has_worse=any(row.judgement == "worse" or row.is_lost for row in metrics),
        origins={each.question: each for each in origins},
        first=first,
        folded=[each for each in sections if each not in first],
        description=facts["description"],
    )


def _has_sets_beside_hash(facts: Mapping[str, Any]) -> bool:
    """Then the origin shows the hash alone; otherwise it says all that the sentence about the data would."""
    return bool(facts.get("datasets") and (facts.get("provenance") or {}).get("training_data_hash"))


def _is_read_first(section: Section, *, is_compared: bool) -> bool:
    if section.origin is None:
        return section.is_changed
    return section.is_changed or not is_compared or not section.origin.challenger


DATA, CUTOFF, CODE, RUN, COPIED = QUESTIONS = ("Training data", "Data up to", "Code", "Run", "Copied from")


def _origins(facts: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[Origin]:
    mine, held = _answers(facts), _answers(champion) if champion else [""] * len(QUESTIONS)
    return [
        Origin(
            question,
            answer,
            before,
            is_changed=champion is not None and answer != before,
            is_hash=all(HASH.match(each) for each in (answer, before) if each),
        )
        for question, answer, before in zip(QUESTIONS, mine, held, strict=True)
        if question != COPIED or answer or before
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
