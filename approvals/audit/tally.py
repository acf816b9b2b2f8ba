"""What an audit asks of the whole population, answered in the database: how many units of each cause, and the sample.
A million rows are grouped and hashed there in the time in which Python would read them. `units` and `population` say
what a unit and its cause are; the tests hold both against each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import Count, F, QuerySet

from approvals.audit import population, units
from approvals.audit.population import CAUSES, EXACT, GOES_ON, Cause, Scope
from approvals.models import RequestKind, Tenure

LISTED = 5_000
"""Numbers of events that are handed back to the database as they are."""

Composed = tuple[str, Sequence[Any]]
"""SQL and parameters."""


@dataclass(frozen=True, slots=True)
class Tally:
    counts: dict[Cause, int]
    """How many units of each cause, those with nothing too."""

    ended: QuerySet[Tenure] = field(compare=False)
    """As `lone_ends`."""

    deliveries: int
    """Events with which a tenure began that says that it was delivered."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def of(scope: Scope) -> Tally:
    """Six queries. A unit counts as the worst of its changes: one that its event does not explain is enough."""
    begun, ended = population.starts(scope), lone_ends(scope)
    sql, parameters = _units(begun, begins=True)
    found, deliveries = [0] * len(_CODED), 0
    grouped = f"SELECT cause, COUNT(*), SUM(delivered) FROM ({sql}) AS unit GROUP BY cause"  # noqa: S608  our own words
    for code, many, delivered in _rows(grouped, parameters):
        found[code] += many
        deliveries += delivered
    _add_ends(found, begun, ended)
    counts = dict.fromkeys(CAUSES, 0) | dict(zip(_CODED, found, strict=True))
    for rows, how, begins in ((begun, "origin", True), (ended, "end", False)):
        alone = rows.filter(units.alone(begins=begins)).order_by().values_list(how)
        for value, times in alone.annotate(n=Count("pk")):
            counts[population.cause_of(value, None, None)] += times
    return Tally(counts, ended, deliveries)


def lone_ends(scope: Scope) -> QuerySet[Tenure]:
    """As `population.lone_ends`, looked for once: where they are few, as they are but for a catastrophe, the queries
    after this one have them by their keys. One query."""
    found = population.lone_ends(scope)
    ids = list(found.order_by().values_list("pk", flat=True))
    return Tenure.objects.filter(pk__in=[0, *ids]) if len(ids) < LISTED else found  # 0: it must be a query in any case


def _add_ends(found: list[int], begun: QuerySet[Tenure], ended: QuerySet[Tenure]) -> None:
    """Ends without a start at their place are few: those of incidents. With what else their event began they are one
    unit, which was counted by what began. Two queries."""
    codes = {sequence: code for sequence, code, _ in _rows(*_units(ended, begins=False))}
    # Number 0 is no event's: a query of none would not be one.
    ids: Any = (
        [0, *codes] if len(codes) < LISTED else ended.exclude(end_sequence=None).order_by().values("end_sequence")
    )
    with_starts = _rows(*_units(begun.filter(start_sequence__in=ids), begins=True))
    before = {sequence: code for sequence, code, _ in with_starts}
    for sequence, code in codes.items():
        if sequence in before:
            found[before[sequence]] -= 1
        found[min(before.get(sequence, code), code)] += 1


def lowest(scope: Scope, seed: str, size: int, *, ended: QuerySet[Tenure]) -> list[str]:
    """The `size` unit ids whose SHA-256 with the seed is lowest, that first; see `sampling`. On PostgreSQL alone, one
    query: a unit of several changes comes up once for each of them, so more are asked for, in the end all."""
    named = [units.named(population.starts(scope), begins=True), units.named(ended, begins=False)]
    begun, lone = (each.order_by().values("unit").query.sql_with_params() for each in named)
    every, parameters = f"{begun[0]} UNION ALL {lone[0]}", [*begun[1], *lone[1]]
    asked = size * 4
    sql = f"SELECT unit FROM ({every}) AS every ORDER BY sha256(convert_to(%s || unit, 'UTF8')) LIMIT %s"  # noqa: S608  the ORM's own words
    while True:
        rows = _rows(sql, [*parameters, f"{seed}:", asked])
        distinct = list(dict.fromkeys(unit for (unit,) in rows))
        if len(distinct) >= size or len(rows) < asked:
            return distinct[:size]
        asked *= 4


# --- SQL --------------------------------------------------------------------------------------------------------------


def _units(rows: QuerySet[Tenure], *, begins: bool) -> Composed:
    """(number of the event, code of the cause, whether something began with it that says that it was delivered) of each
    unit that an event records, by these starts or ends alone."""
    sequence, how = ("start_sequence", "origin") if begins else ("end_sequence", "end")
    part, of_part = (
        rows.exclude(units.alone(begins=begins))
        .order_by()
        .annotate(sequence=F(sequence), how=F(how))
        .values_list("sequence", "how", "model_name", "version_number")
        .query.sql_with_params()
    )
    code, of_code = _code(begins)
    actions = list(population.TELLING)
    urgent = "request_id IN (SELECT id FROM approvals_promotionrequest WHERE kind = %s)"
    # Tenures come by the number of their event, and events do too: nothing is sorted, and each unit is let go of.
    sql = f"""
        SELECT sequence, CASE
            WHEN code = {_CODED.index(Cause.DELIVERY)} AND {urgent} THEN {_CODED.index(Cause.ROLLBACK)}
            WHEN code = {_CODED.index(Cause.DELIVERY)} AND {urgent} THEN {_CODED.index(Cause.BREAK_GLASS)}
            ELSE code END AS cause, delivered
        FROM (
            SELECT part.sequence, MIN({code}) AS code, MAX(event.request_id) AS request_id,
                MAX(CASE WHEN part.how = %s THEN 1 ELSE 0 END) AS delivered
            FROM ({part}) AS part
            LEFT JOIN approvals_auditevent AS event
                ON event.sequence = part.sequence AND event.action IN ({_marks(actions)})
            GROUP BY part.sequence
        ) AS told"""  # noqa: S608  names of ours, the ORM's own words
    kinds = [str(RequestKind.ROLLBACK), str(RequestKind.BREAK_GLASS)]
    return sql, [*kinds, *of_code, str(Tenure.Origin.DELIVERY), *of_part, *actions]


def _code(begins: bool) -> Composed:
    """What `event` says of `part`, as if every request were a promotion: `tells_of` and `cause_of` in SQL."""
    whens, parameters = [], list[Any]()
    for action, hows in population.TELLING.items():
        held = f"part.how IN ({_marks(hows)})"
        given: list[Any] = [action, *hows]
        if action in EXACT:
            held += " AND event.model_name = part.model_name"
            held += " AND event.version_number = part.version_number" if begins else ""
        if action in population.OF_A_REQUEST:
            held += " AND event.request_id IS NOT NULL"
        if action in GOES_ON and begins:
            # Asked by itself: the payload alone is not in the index on these events, and a look-up for each would be
            # reckoned so dear that PostgreSQL compiles the query first, which takes half as long again.
            text = f"{_PLACE[connection.vendor]}(payload, %s) > 0"
            held += f" OR event.sequence IN (SELECT sequence FROM approvals_auditevent WHERE action = %s AND {text})"  # noqa: S608
            given += [action, GOES_ON[action]]
        code = _CODED.index(population.told_by(action, RequestKind.PROMOTION))
        whens.append(f"WHEN event.action = %s AND ({held}) THEN {code}")
        parameters += given
    return f"CASE {' '.join(whens)} ELSE {_CODED.index(Cause.UNEXPLAINED)} END", parameters


_CODED = (
    *(Cause.UNEXPLAINED, Cause.DELIVERY, Cause.ROLLBACK, Cause.BREAK_GLASS),
    *(Cause.PUT_BACK, Cause.INCIDENT, Cause.FOUND),
)
"""The causes that an event gives, by their codes in SQL: the worst is the lowest."""

_PLACE = {"postgresql": "strpos", "sqlite": "instr"}


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
