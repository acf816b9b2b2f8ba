"""Rows locked for the rest of a transaction: what is judged stays as it was judged by."""

from collections.abc import Collection, Iterable
from typing import Any, cast

from django.db import connection
from django.db.models import F, Func, QuerySet, TextField

from approvals.models import OutboxEntry, PromotionRequest, Target
from mirror import composed


def lock_request(request: PromotionRequest) -> PromotionRequest:
    """The request read again and locked for the rest of the transaction (SQLite: the transaction is the lock).

    Two queries: what a locking query joins is as old as its beginning, however long it waited for the lock. Raises
    PromotionRequest.DoesNotExist.
    """
    composed.objects(_request, request.pk)
    return read_request(request.pk)


def _request(pk: int) -> QuerySet[PromotionRequest, Any]:
    return PromotionRequest.objects.select_for_update().filter(pk=pk).values_list("pk")


def read_request(pk: int) -> PromotionRequest:
    """With everything that a row on a page names. Raises PromotionRequest.DoesNotExist."""
    for found in composed.objects(_with_subject, pk):
        return cast(PromotionRequest, found)
    raise PromotionRequest.DoesNotExist


def _with_subject(pk: int) -> QuerySet[PromotionRequest]:
    return PromotionRequest.objects.with_subject().filter(pk=pk)


def lock_targets(targets: Iterable[int | None]) -> None:
    """Locks these targets for the rest of the transaction, before any request: what judges by a target's policies or
    holders, and what changes them, goes one after the other."""
    numbers = {pk for pk in targets if pk is not None}
    if numbers:
        composed.among(_targets, numbers)


def _targets(numbers: Collection[int]) -> QuerySet[Target, Any]:
    rows = Target.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk")
    return rows.values_list(_IN_TURN) if connection.vendor == "postgresql" else rows.values_list("pk")


def lock_place(model_name: str, target_id: int) -> list[OutboxEntry]:
    """For what changes one model's holders of the target, and no other's: `lock_targets` waits for it and the other way
    round, and so does whoever does the same at this model; deliveries of other models do not. Returns the open
    entries of model and target, locked."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_SHARED_IN_TURN, [target_id])
    return composed.objects(_entries, model_name, target_id)


def _entries(model_name: str, target: int) -> QuerySet[OutboxEntry]:
    entries = OutboxEntry.objects.open().filter(model_name=model_name, target=target)
    return entries.select_for_update(no_key=True).order_by("pk")


# Taken before the row and kept as long. PostgreSQL lets who shares a row pass by who waits for it alone, so a person
# would wait for as long as deliveries overlap; for these locks everybody stands in one line.
_LINE = 7_300_000_000
_IN_TURN = Func(F("pk") + _LINE, function="pg_advisory_xact_lock", output_field=TextField())
_SHARED_IN_TURN = f"SELECT pg_advisory_xact_lock_shared(id + {_LINE}) FROM approvals_target WHERE id = %s FOR SHARE"  # noqa: S608
