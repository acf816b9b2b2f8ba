"""Rows locked for the rest of a transaction: what is judged stays as it was judged by."""

from collections.abc import Iterable

from approvals.models import PromotionRequest, Target


def lock_request(request: PromotionRequest) -> PromotionRequest:
    """The request read again and locked for the rest of the transaction (SQLite: the transaction is the lock).

    Two queries: what a locking query joins is as old as its beginning, however long it waited for the lock.
    """
    PromotionRequest.objects.select_for_update().values_list("pk").get(pk=request.pk)
    return PromotionRequest.objects.with_subject().get(pk=request.pk)


def lock_targets(targets: Iterable[int | None]) -> None:
    """Locks these targets for the rest of the transaction, before any request: what judges by a target's policies or
    holders, and what changes them, goes one after the other."""
    numbers = {pk for pk in targets if pk is not None}
    if numbers:
        list(Target.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk").values_list("pk"))
