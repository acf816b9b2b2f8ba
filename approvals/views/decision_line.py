"""The one line above the evidence: how the checks went, what the metrics say, how new the data is, whether the code is
another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from approvals.models import Outcome
from approvals.selectors.request_state import RequestState
from approvals.views import evidence_summary
from approvals.views.evidence_summary import EvidenceSummary

LONGEST_CUTOFF = 24


@dataclass(frozen=True, slots=True)
class Mark:
    """A few words with an icon and a colour of `badge`, and the part of the page that says more."""

    words: str
    icon: str
    colour: str
    part: str

    @property
    def is_calm(self) -> bool:
        return self.colour in ("green", "grey")


def checks(now: RequestState) -> Mark:
    """`Checks passed`, or what of them needs a look."""
    counted = {"failed": 0, "warned": 0, "overridden": 0, "waiting": 0}
    for check in now.checks:
        if check.overridden_at:
            counted["overridden"] += 1
        elif check.outcome != Outcome.PASS:
            counted[{"fail": "failed", "warn": "warned"}.get(check.outcome, "waiting")] += 1
    told = [f"{count} check{'' if count == 1 else 's'} {word}" for word, count in counted.items() if count]
    if not now.checks:
        return Mark("No checks", "circle-dashed", "grey", "request-checks")
    if not told:
        return Mark("Checks passed", "circle-check", "green", "request-checks")
    name, colour = ("circle-x", "red") if counted["failed"] else ("alert-triangle", "amber")
    if counted["waiting"] == sum(counted.values()):
        name, colour = "hourglass", "blue"
    return Mark(", ".join(told), name, colour, "request-checks")


def evidence(summary: EvidenceSummary) -> Sequence[Mark]:
    """What the metrics say, the data and the code, as far as there is something to say."""
    found = []
    if summary.tally:
        found.append(Mark(str(summary.tally), "scale", "amber" if summary.has_worse else "green", "metrics"))
    return [*found, _data(summary), _code(summary)]


def _data(summary: EvidenceSummary) -> Mark:
    cutoff = summary.origins[evidence_summary.CUTOFF]
    if not cutoff.challenger:
        return Mark("Data cutoff not known", "alert-triangle", "amber", "evidence")
    words = f"Data to {_day(cutoff.challenger)}"
    if cutoff.champion and not cutoff.is_changed:
        return Mark(f"{words}, as before", "calendar", "grey", "evidence")
    return Mark(words, "calendar", "blue" if cutoff.is_changed else "grey", "evidence")


def _day(cutoff: str) -> str:
    """`31 October 2026` of a date; anything else as it was logged."""
    try:
        found = date.fromisoformat(cutoff[:10])
    except ValueError:
        return cutoff if len(cutoff) <= LONGEST_CUTOFF else f"{cutoff[:LONGEST_CUTOFF]}…"
    return f"{found.day} {found:%B %Y}"


def _code(summary: EvidenceSummary) -> Mark:
    code = summary.origins[evidence_summary.CODE]
    if not code.challenger:
        return Mark("Code not known", "alert-triangle", "amber", "evidence")
    if code.is_changed:
        return Mark("Code changed", "arrows-diff", "blue", "evidence")
    return Mark("Same code" if code.champion else "Code known", "git-commit", "grey", "evidence")
