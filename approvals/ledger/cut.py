"""Whether MLflow knows of more than the ledger: then an older backup of Countersign was restored, and what it would do
now, it would do without knowing what was decided since.

Delivery writes the ledger's head and the number of the request to each version. Versions that MLflow changed since the
last look are held against the ledger; the first that records more stops every write to MLflow until an administrator
acknowledges it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, Max, Q, QuerySet, Subquery
from django.utils import timezone

from approvals.evidence import OWN_TAG, approval_note
from approvals.ledger.anchors import HEAD_TAG
from approvals.models import AuditEvent, ChainHead, LedgerCut, PromotionRequest, WatchState
from mirror import composed, sync
from mirror.models import MirrorState, ModelVersion
from mirror.port import Registry, Unreachable

SPARE = 1000
"""Numbers of requests that are passed over after a cut: some were given and never reached MLflow."""

HIGHEST = 10**12
"""Numbers beyond it were not given by Countersign; a person wrote them."""

MOST_SHOWN = 10
AGAIN, MOST_AGAIN = timedelta(seconds=1), 100
"""What MLflow changed so shortly before its newest change, up to so many versions, is read once more: to note it as
seen with each delivery would be a write to the disk."""

NOTICE = (
    "The ledger was cut off: MLflow knows of approvals that are not in it, so an older backup of Countersign was "
    "restored. Nothing is written to MLflow until an administrator acknowledges it on the System page."
)


class CutOff(Unreachable):
    """Unreachable to callers: nothing is written, and it is tried again."""


@dataclass(slots=True)
class _Beyond:
    sequence: int = 0
    request: int = 0
    evidence: list[str] = field(default_factory=list)
    read: int = 0
    """Versions that were looked at."""

    def add(self, *, sequence: int = 0, request: int = 0, words: str) -> None:
        self.sequence, self.request = max(self.sequence, sequence), max(self.request, request)
        if len(self.evidence) < MOST_SHOWN and words not in self.evidence:
            self.evidence.append(words)


def check(registry: Registry) -> None:
    """Before anything is written to MLflow. Where the mirror is old, as after a restore, MLflow is asked first for what
    changed. Raises CutOff."""
    state = MirrorState.objects.current()
    age = state.age_seconds
    is_old = state.swept_at is not None and age is not None and age > settings.STALE_AFTER_SECONDS
    # Where MLflow is asked seldom, and lately, the mirror is as new as pulls make it.
    if is_old and MirrorState.objects.is_due("pull_due_at"):
        sync.pull(registry)
    if look():
        raise CutOff(NOTICE)


def look() -> bool:
    """Holds what MLflow has changed since the last look against the ledger; returns whether the ledger is cut off and
    no one has acknowledged it. Cheap when nothing changed."""
    known = _known()
    changed = ModelVersion.objects.order_by("last_updated_at")
    if known.witnessed_at is not None:
        changed = changed.filter(last_updated_at__gte=known.witnessed_at)
    else:
        marked = (
            Q(tags__has_key=HEAD_TAG)
            | Q(tags__has_key=f"{OWN_TAG}request")
            | Q(description__contains=approval_note.BEGIN)
        )
        changed = changed.filter(marked)
    cuts = list(LedgerCut.objects.all()) if known.has_cuts else []  # a handful: each was a restored backup
    beyond = _beyond(changed, [cut for cut in cuts if cut.acknowledged_at is not None], known.last_request)
    if beyond.evidence:
        _stop(beyond)
    if known.newest is not None and (known.is_behind or beyond.read > MOST_AGAIN):
        WatchState.objects.filter(pk=1).update(witnessed_at=known.newest)
    return bool(beyond.evidence) or any(cut.acknowledged_at is None for cut in cuts)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a look begins with."""

    witnessed_at: datetime | None
    newest: datetime | None
    """When MLflow changed a version last, as far as it is mirrored."""

    last_request: int
    has_cuts: bool

    @property
    def is_behind(self) -> bool:
        if self.newest is None or self.witnessed_at is None:
            return self.newest is not None
        return not timedelta(0) <= self.newest - self.witnessed_at < AGAIN


def _known() -> _Known:
    """One query: each delivery asks for it."""
    found = composed.objects(_state)
    if not found:
        WatchState.objects.get_or_create(pk=1)
        found = composed.objects(_state)
    [(witnessed_at, newest, last, has_cuts)] = found
    return _Known(witnessed_at, newest, last or 0, bool(has_cuts))


def _state() -> QuerySet[WatchState, Any]:
    newest = ModelVersion.objects.order_by("-last_updated_at").values("last_updated_at")[:1]
    last = PromotionRequest.objects.order_by("-pk").values("pk")[:1]
    return WatchState.objects.filter(pk=1).values_list(
        "witnessed_at", Subquery(newest), Subquery(last), Exists(LedgerCut.objects.all())
    )


def _hashes(sequences: Collection[int]) -> QuerySet[AuditEvent, Any]:
    return AuditEvent.objects.filter(sequence__in=sequences).values_list("sequence", "hash")


def _beyond(versions: "QuerySet[ModelVersion]", known: Sequence[LedgerCut], last_request: int) -> _Beyond:
    """`last_request` was read before the versions were: of who names a later one, it is asked again."""
    event = max((cut.beyond_sequence for cut in known), default=0)
    request = max((cut.beyond_request for cut in known), default=0)
    found, heads = _Beyond(), dict[tuple[int, str], str]()
    read = versions.select_related("model").only("number", "tags", "description", "model__name")
    for version in read.iterator(chunk_size=500):
        found.read += 1
        name = f"{version.model.name} version {version.number}"
        numbers = [*map(approval_note.request_of, approval_note.notes(version.description)), _number(version.tags)]
        if any(number is not None and last_request < number <= HIGHEST for number in numbers):
            last_request = PromotionRequest.objects.aggregate(last=Max("pk"))["last"] or 0
        for number in numbers:
            if number is not None and max(last_request, request) < number <= HIGHEST:
                found.add(
                    request=number, words=f"{name} names request #{number}; the last one here is #{last_request}."
                )
        parsed = re.fullmatch(r"(\d{1,12}):([0-9a-f]{64})", str(version.tags.get(HEAD_TAG, "")))
        if parsed and int(parsed[1]) > event:
            heads[int(parsed[1]), parsed[2]] = name
    hashes = dict(composed.among(_hashes, {sequence for sequence, _ in heads}))
    unknown = {sequence: name for (sequence, kept), name in heads.items() if hashes.get(sequence) != kept}
    end = ChainHead.objects.get(pk=1).sequence if unknown else 0
    for sequence, name in unknown.items():
        if sequence > end:
            found.add(sequence=sequence, words=f"{name} names event {sequence}; the ledger ends with event {end}.")
        elif sequence:
            found.add(sequence=sequence, words=f"{name} names another event {sequence} than the ledger has.")
    return found


def _number(tags: dict[str, str]) -> int | None:
    value = str(tags.get(f"{OWN_TAG}request", ""))
    return int(value) if re.fullmatch(r"\d{1,12}", value) else None


def _stop(beyond: _Beyond) -> None:
    """Written once; while it is open, what else is found is added to it. Numbers of requests continue from beyond
    it."""
    end = ChainHead.objects.get(pk=1).sequence
    try:
        with transaction.atomic():
            cut = LedgerCut.objects.create(sequence=end)
    except IntegrityError:
        cut = LedgerCut.objects.open().get()
    cut.beyond_sequence = max(cut.beyond_sequence, beyond.sequence)
    cut.beyond_request = max(cut.beyond_request, beyond.request)
    cut.evidence = list(dict.fromkeys([*cut.evidence, *beyond.evidence]))[:MOST_SHOWN]
    cut.save(update_fields=["beyond_sequence", "beyond_request", "evidence"])
    last = PromotionRequest.objects.aggregate(last=Max("pk"))["last"] or 0
    _go_on_from(max(last, cut.beyond_request) + SPARE)
    MirrorState.objects.record(halt=NOTICE)


def _go_on_from(number: int) -> None:
    """The next request gets a number above this one. On PostgreSQL by taking numbers, for which USAGE is enough."""
    table = PromotionRequest._meta.db_table  # noqa: SLF001  public in all but name
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
            sequence = cursor.fetchone()[0]
            cursor.execute("SELECT nextval(%s)", [sequence])
            missing = number - cursor.fetchone()[0]
            if 0 < missing <= 1_000_000:
                cursor.execute("SELECT max(nextval(%s)) FROM generate_series(1, %s)", [sequence, missing])
            elif missing > 0:
                cursor.execute("SELECT setval(%s, %s)", [sequence, number])
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", [number, table])
        if cursor.rowcount == 0:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, number])


def settle(*, stages_asked: datetime | None, aliases_asked: datetime | None) -> None:
    """After a look of the watch that passed nothing over, at a mirror that was asked for at these times."""
    cut = LedgerCut.objects.settling().first()
    if cut is None or cut.acknowledged_at is None or stages_asked is None or aliases_asked is None:
        return
    if min(stages_asked, aliases_asked) > cut.acknowledged_at:
        LedgerCut.objects.filter(pk=cut.pk).update(settled_at=timezone.now())
