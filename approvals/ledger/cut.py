"""Whether MLflow knows of more than the ledger: then an older backup of Countersign was restored, and what it would do
now, it would do without knowing what was decided since.

Delivery writes the ledger's head and the number of the request to each version. Versions that MLflow changed since the
last look are held against the ledger; the first that records more stops every write to MLflow until an administrator
acknowledges it.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from approvals.evidence import OWN_TAG, approval_note
from approvals.ledger.anchors import HEAD_TAG
from approvals.models import AuditEvent, ChainHead, LedgerCut, PromotionRequest, WatchState
from mirror import sync
from mirror.models import MirrorState, ModelVersion
from mirror.port import Registry, Unreachable

SPARE = 1000
"""Numbers of requests that are passed over after a cut: some were given and never reached MLflow."""

HIGHEST = 10**12
"""Numbers beyond it were not given by Countersign; a person wrote them."""

MOST_SHOWN = 10
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

    def add(self, *, sequence: int = 0, request: int = 0, words: str) -> None:
        self.sequence, self.request = max(self.sequence, sequence), max(self.request, request)
        if len(self.evidence) < MOST_SHOWN and words not in self.evidence:
            self.evidence.append(words)


def check(registry: Registry) -> None:
    """Before anything is written to MLflow. Where the mirror is old, as after a restore, MLflow is asked first for what
    changed. Raises CutOff."""
    state = MirrorState.objects.current()
    age = state.age_seconds
    if state.swept_at is not None and age is not None and age > settings.STALE_AFTER_SECONDS:
        sync.pull(registry)
    if look():
        raise CutOff(NOTICE)


def look() -> bool:
    """Holds what MLflow has changed since the last look against the ledger; returns whether the ledger is cut off and
    no one has acknowledged it. Cheap when nothing changed."""
    state = WatchState.objects.get_or_create(pk=1)[0]
    changed = ModelVersion.objects.order_by("last_updated_at")
    if state.witnessed_at is not None:
        changed = changed.filter(last_updated_at__gte=state.witnessed_at)
    else:
        marked = (
            Q(tags__has_key=HEAD_TAG)
            | Q(tags__has_key=f"{OWN_TAG}request")
            | Q(description__contains=approval_note.BEGIN)
        )
        changed = changed.filter(marked)
    newest = ModelVersion.objects.aggregate(newest=Max("last_updated_at"))["newest"]
    beyond = _beyond(changed)
    if beyond.evidence:
        _stop(beyond)
    if newest is not None and newest != state.witnessed_at:
        WatchState.objects.filter(pk=1).update(witnessed_at=newest)
    return LedgerCut.objects.open().exists()


def _beyond(versions: "QuerySet[ModelVersion]") -> _Beyond:
    known = LedgerCut.objects.filter(acknowledged_at__isnull=False).aggregate(
        event=Max("beyond_sequence"), request=Max("beyond_request")
    )
    event, request = known["event"] or 0, known["request"] or 0
    found, heads = _Beyond(), dict[tuple[int, str], str]()
    last_request = PromotionRequest.objects.aggregate(last=Max("pk"))["last"] or 0
    read = versions.select_related("model").only("number", "tags", "description", "model__name")
    for version in read.iterator(chunk_size=500):
        name = f"{version.model.name} version {version.number}"
        numbers = [*map(approval_note.request_of, approval_note.notes(version.description)), _number(version.tags)]
        for number in numbers:
            if number is not None and max(last_request, request) < number <= HIGHEST:
                found.add(
                    request=number, words=f"{name} names request #{number}; the last one here is #{last_request}."
                )
        parsed = re.fullmatch(r"(\d{1,12}):([0-9a-f]{64})", str(version.tags.get(HEAD_TAG, "")))
        if parsed and int(parsed[1]) > event:
            heads[int(parsed[1]), parsed[2]] = name
    end = ChainHead.objects.get(pk=1).sequence
    hashes = dict(
        AuditEvent.objects.filter(sequence__in={sequence for sequence, _ in heads}).values_list("sequence", "hash")
    )
    for (sequence, kept), name in heads.items():
        if sequence > end:
            found.add(sequence=sequence, words=f"{name} names event {sequence}; the ledger ends with event {end}.")
        elif sequence and hashes.get(sequence) != kept:
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
