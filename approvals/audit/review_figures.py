"""The figures of `reviews` that are of every request and approval of a period, as PostgreSQL computes them: 50,000
requests are a tenth of a second there, and a second in Python. On SQLite `reviews` computes them itself; the tests hold
both against each other."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.fields.json import KT

from approvals.models import PromotionRequest, Review


def are_here() -> bool:
    """Whether the database can compute them."""
    return bool(connection.vendor == "postgresql")


def waits(
    asked: QuerySet[PromotionRequest],
) -> list[tuple[str, str | None, int, list[float] | None, list[float] | None]]:
    """(target, pattern of the policy, requests, time to the first review, time to the decision) of each target, with
    the pattern None, and of each policy; requests without one have the pattern "". One query."""
    inner, parameters = (
        asked.order_by()
        .annotate(target_name=F("target__name"), pattern=KT("rule__model_pattern"))
        .values_list("pk", "target_name", "pattern", "created_at", "decided_at")
        .query.sql_with_params()
    )
    sql = f"""
        WITH measured AS (
            SELECT asked.target_name, COALESCE(asked.pattern, '') AS pattern,
                {_seconds("asked.created_at", "first.created_at")} AS first,
                {_seconds("asked.created_at", "asked.decided_at")} AS decided
            FROM ({inner}) AS asked (id, target_name, pattern, created_at, decided_at)
            LEFT JOIN LATERAL (
                SELECT created_at FROM approvals_review WHERE request_id = asked.id ORDER BY created_at LIMIT 1
            ) AS first ON true
        )
        SELECT target_name, CASE WHEN GROUPING(pattern) = 0 THEN pattern END, COUNT(*), {_ranks("first")},
            {_ranks("decided")}
        FROM measured GROUP BY GROUPING SETS ((target_name), (target_name, pattern))"""  # noqa: S608  the ORM's own words
    return _rows(sql, parameters)


def readers(given: QuerySet[Review], limit: int) -> list[tuple[str, int, int, float | None, int]]:
    """(name, approvals, those before which they had opened the page, median of the seconds between, those within
    `limit` seconds) of each approver. One query."""
    timed, parameters = _timed(given)
    sql = f"""
        SELECT name, COUNT(*), COUNT(seconds), percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds),
            COUNT(*) FILTER (WHERE seconds < %s)
        FROM ({timed}) AS timed GROUP BY reviewer_id, name ORDER BY COUNT(*) DESC, name, reviewer_id"""  # noqa: S608
    return _rows(sql, [limit, *parameters])


def hasty(given: QuerySet[Review], limit: int, most: int) -> list[tuple[int, str, datetime, int]]:
    """(request, approver, when, whole seconds) of the quickest approvals within `limit` seconds. One query."""
    timed, parameters = _timed(given)
    sql = f"""
        SELECT request_id, name, created_at, floor(seconds)::integer FROM ({timed}) AS timed WHERE seconds < %s
        ORDER BY 4, created_at, request_id LIMIT %s"""  # noqa: S608  the ORM's own words
    return _rows(sql, [*parameters, limit, most])


def _timed(given: QuerySet[Review]) -> tuple[str, Sequence[Any]]:
    inner, parameters = (
        given.order_by()
        .annotate(name=F("reviewer__name"))
        .values_list("request_id", "reviewer_id", "name", "fingerprint", "created_at")
        .query.sql_with_params()
    )
    return (
        f"""
        SELECT given.*, {_seconds("reading.opened_at", "given.created_at")} AS seconds
        FROM ({inner}) AS given (request_id, reviewer_id, name, fingerprint, created_at)
        LEFT JOIN approvals_reading AS reading ON reading.request_id = given.request_id
            AND reading.person_id = given.reviewer_id AND reading.fingerprint = given.fingerprint""",  # noqa: S608
        parameters,
    )


def _seconds(since: str, until: str) -> str:
    """NULL where either is; GREATEST alone would take it for 0."""
    both = f"{since} IS NOT NULL AND {until} IS NOT NULL"
    return f"CASE WHEN {both} THEN GREATEST(EXTRACT(EPOCH FROM {until} - {since})::float8, 0) END"


def _ranks(column: str) -> str:
    return f"percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY {column})"


def _rows(sql: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
