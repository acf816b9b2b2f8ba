"""How people review: how long requests wait, how long the evidence was open before an approval, who approves whose
requests, and what went round a full review. Of a period, by target. Percentiles are of all requests, not of a part."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery

from approvals.audit import review_figures
from approvals.audit.periods import Period
from approvals.models import (
    CheckResult,
    PromotionRequest,
    Reading,
    RequestKind,
    Review,
    Target,
    Verdict,
)

HASTY_SECONDS = 30
"""An approval within so many seconds of opening the request is flagged."""

PAIR_SHARE, PAIR_LEAST = 0.75, 5
"""A pair is flagged when one person approved at least this share of another's requests, and at least so many."""

MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Wait:
    """How long requests waited, in seconds. None where there is nothing to measure."""

    name: str
    requests: int
    first_median: float | None
    """From asking to the first review."""

    first_p90: float | None
    decided_median: float | None
    """From asking to the decision."""

    decided_p90: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    requester: str
    approver: str
    approvals: int
    share: float
    """Of the requester's requests that were given an approval in the period."""

    @property
    def is_called_out(self) -> bool:
        return self.approvals >= PAIR_LEAST and self.share >= PAIR_SHARE

    @property
    def percent(self) -> int:
        return round(self.share * 100)


@dataclass(frozen=True, slots=True)
class Reader:
    """One approver, and how long they had the evidence open before they approved."""

    name: str
    approvals: int
    opened: int
    """Approvals before which they had opened the page."""

    median: float | None
    """Seconds."""

    hasty: int
    """Approvals within the limit of opening."""

    @property
    def unopened(self) -> int:
        return self.approvals - self.opened


@dataclass(frozen=True, slots=True)
class Hasty:
    """One approval soon after opening."""

    request_id: int
    approver: str
    at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class Override:
    person: str
    check: str
    times: int


@dataclass(frozen=True, slots=True)
class Analytics:
    period: Period
    waits: Sequence[Wait]
    """By target."""

    by_policy: Sequence[Wait]
    pairs: Sequence[Pair]
    """Those flagged first, then the most frequent."""

    readers: Sequence[Reader]
    hasty: Sequence[Hasty]
    """The quickest first, at most MOST_ROWS."""

    hasty_seconds: int
    overrides: Sequence[Override]
    requests: int
    kinds: Mapping[str, int]
    """Requests of the period by kind, in words."""

    @property
    def called_out(self) -> int:
        return sum(pair.is_called_out for pair in self.pairs)

    @property
    def hasty_count(self) -> int:
        return sum(reader.hasty for reader in self.readers)

    @property
    def approvals(self) -> int:
        return sum(reader.approvals for reader in self.readers)


def of(period: Period, *, target: Target | None = None, hasty_seconds: int = HASTY_SECONDS) -> Analytics:
    """A bounded number of queries; reads four columns of each request and each approval of the period."""
    asked = PromotionRequest.objects.filter(created_at__gte=period.since, created_at__lt=period.until)
    given = Review.objects.filter(verdict=Verdict.APPROVE, created_at__gte=period.since, created_at__lt=period.until)
    overridden = CheckResult.objects.filter(overridden_at__gte=period.since, overridden_at__lt=period.until)
    if target:
        asked, given = asked.filter(target=target), given.filter(request__target=target)
        overridden = overridden.filter(request__target=target)
    waits, by_policy = _waits(asked)
    readers, hasty = _readers(given, hasty_seconds)
    kinds = dict(asked.order_by().values_list("kind").annotate(n=Count("pk")))
    return Analytics(
        period=period,
        waits=waits,
        by_policy=by_policy,
        pairs=_pairs(given),
        readers=readers,
        hasty=hasty,
        hasty_seconds=hasty_seconds,
        overrides=_overrides(overridden),
        requests=sum(kinds.values()),
        kinds={str(kind.label): kinds.get(kind.value, 0) for kind in RequestKind},
    )


# --- Waiting ----------------------------------------------------------------------------------------------------------


def _waits(asked: QuerySet[PromotionRequest]) -> tuple[list[Wait], list[Wait]]:
    """By target, and by target and pattern of the policy. Emergency promotion asks no one first, so it waits for no
    one."""
    asked = asked.exclude(kind=RequestKind.BREAK_GLASS)
    return _waits_by_database(asked) if review_figures.are_here() else _waits_by_hand(asked)


def _waits_by_database(asked: QuerySet[PromotionRequest]) -> tuple[list[Wait], list[Wait]]:
    by_target: list[Wait] = []
    by_policy: list[Wait] = []
    for target, pattern, many, first, decided in review_figures.waits(asked):
        name = target if pattern is None else f"{target} of {pattern or 'no policy'}"
        found = by_target if pattern is None else by_policy
        found.append(Wait(name, many, *(first or (None, None)), *(decided or (None, None))))
    return sorted(by_target, key=lambda each: each.name), sorted(by_policy, key=lambda each: each.name)


def _waits_by_hand(asked: QuerySet[PromotionRequest]) -> tuple[list[Wait], list[Wait]]:
    by_target: dict[str, list[tuple[float | None, float | None]]] = defaultdict(list)
    by_policy: dict[str, list[tuple[float | None, float | None]]] = defaultdict(list)
    rows = (
        asked.order_by()
        .values_list("target__name", "rule__model_pattern", "created_at", "decided_at")
        .annotate(first=Min("reviews__created_at"))
    )
    for target, pattern, created_at, decided_at, first in rows.iterator(chunk_size=5000):
        measured = (_seconds(created_at, first), _seconds(created_at, decided_at))
        by_target[target].append(measured)
        by_policy[f"{target} of {pattern or 'no policy'}"].append(measured)
    return _summed(by_target), _summed(by_policy)


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return None if until is None else max(0.0, (until - since).total_seconds())


def _summed(groups: Mapping[str, Sequence[tuple[float | None, float | None]]]) -> list[Wait]:
    found = []
    for name, measured in sorted(groups.items()):
        first = sorted(each for each, _ in measured if each is not None)
        decided = sorted(each for _, each in measured if each is not None)
        found.append(
            Wait(
                name,
                len(measured),
                percentile(first, 0.5),
                percentile(first, 0.9),
                percentile(decided, 0.5),
                percentile(decided, 0.9),
            )
        )
    return found


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least this share of all values do not exceed. None of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


# --- People -----------------------------------------------------------------------------------------------------------


def _pairs(given: QuerySet[Review]) -> list[Pair]:
    standing = given.filter(voided_at=None).order_by()
    rows = standing.values_list("requester_id", "requester__name", "reviewer__name", "reviewer_id")
    totals = dict(standing.values_list("requester_id").annotate(n=Count("request", distinct=True)))
    found = [
        Pair(asked, approved, many, many / totals[pk])
        for pk, asked, approved, _, many in rows.annotate(n=Count("request", distinct=True))
    ]
    return sorted(found, key=lambda pair: (not pair.is_called_out, -pair.approvals, pair.requester, pair.approver))


def _readers(given: QuerySet[Review], limit: int) -> tuple[list[Reader], list[Hasty]]:
    """Who approved most first; the quickest approvals first."""
    if not review_figures.are_here():
        return _readers_by_hand(given, limit)
    readers = [Reader(*each) for each in review_figures.readers(given, limit)]
    return readers, [Hasty(*each) for each in review_figures.hasty(given, limit, MOST_ROWS)]


def _readers_by_hand(given: QuerySet[Review], limit: int) -> tuple[list[Reader], list[Hasty]]:
    opened = {
        (request_id, person_id, fingerprint): at
        for request_id, person_id, fingerprint, at in Reading.objects.filter(request__in=given.values("request"))
        .values_list("request_id", "person_id", "fingerprint", "opened_at")
        .iterator(chunk_size=5000)
    }
    names: dict[int, str] = {}
    times: dict[int, list[float]] = defaultdict(list)
    approvals = Counter[int]()
    hasty: list[Hasty] = []
    rows = given.order_by().values_list("request_id", "reviewer_id", "reviewer__name", "fingerprint", "created_at")
    for request_id, person_id, name, fingerprint, at in rows.iterator(chunk_size=5000):
        names[person_id] = name
        approvals[person_id] += 1
        since = opened.get((request_id, person_id, fingerprint))
        if since is None:
            continue
        seconds = max(0.0, (at - since).total_seconds())
        times[person_id].append(seconds)
        if seconds < limit:
            hasty.append(Hasty(request_id, name, at, int(seconds)))
    readers = [
        Reader(
            names[pk],
            many,
            len(times[pk]),
            percentile(sorted(times[pk]), 0.5),
            sum(seconds < limit for seconds in times[pk]),
        )
        for pk, many in sorted(approvals.items(), key=lambda each: (-each[1], names[each[0]], each[0]))
    ]
    return readers, sorted(hasty, key=lambda each: (each.seconds, each.at, each.request_id))[:MOST_ROWS]


def _overrides(overridden: QuerySet[CheckResult]) -> list[Override]:
    rows = overridden.order_by().values_list("overridden_by__name", "title").annotate(n=Count("pk"))
    found = [Override(name, title, many) for name, title, many in rows]
    return sorted(found, key=lambda each: (-each.times, each.person, each.check))


# --- Download ---------------------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    "request",
    "kind",
    "target",
    "model",
    "requested_by",
    "asked_at",
    "decided_at",
    "approver",
    "approved_at",
    "opened_at",
    "seconds_on_page",
    "voided",
)


def plain(period: Period, *, target: Target | None = None) -> Iterator[dict[str, Any]]:
    """One row for each approval given in the period, the oldest first; keys are CSV_COLUMNS."""
    given = Review.objects.filter(verdict=Verdict.APPROVE, created_at__gte=period.since, created_at__lt=period.until)
    given = given.filter(request__target=target) if target else given
    reading = Reading.objects.filter(
        request_id=OuterRef("request_id"), person_id=OuterRef("reviewer_id"), fingerprint=OuterRef("fingerprint")
    )
    timed = given.annotate(opened_at=Subquery(reading.values("opened_at")[:1]))
    rows = timed.order_by("created_at", "pk").values_list(
        "request_id",
        "request__kind",
        "request__target__name",
        "request__version__model__name",
        "requester__name",
        "request__created_at",
        "request__decided_at",
        "reviewer__name",
        "created_at",
        "opened_at",
        "voided_at",
    )
    for row in rows.iterator(chunk_size=2000):
        *told, at, opened_at, voided_at = row
        seconds = None if opened_at is None else max(0, int((at - opened_at).total_seconds()))
        values = [*told, at, opened_at, seconds, "yes" if voided_at else ""]
        yield {
            column: value.isoformat() if isinstance(value, datetime) else value
            for column, value in zip(CSV_COLUMNS, values, strict=True)
        }
