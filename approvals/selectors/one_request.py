"""One request by its number, and what tells whether it has moved on since it was read."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import BigIntegerField, Count, IntegerField, OuterRef, QuerySet, Subquery

from approvals.models import PromotionRequest, Review
from mirror import composed


def find(pk: int) -> PromotionRequest | None:
    """With what its page names; None if there is none. One query."""
    # The database is asked as it stands here, and its driver refuses more than a column can hold.
    found = composed.objects(_with_subject, pk) if pk <= BigIntegerField.MAX_BIGINT else []
    return found[0] if found else None


def _with_subject(pk: int) -> QuerySet[PromotionRequest]:
    found: QuerySet[PromotionRequest] = PromotionRequest.objects.with_subject().filter(pk=pk)
    return found


def revision(pk: int) -> str:
    """Another text when the status has changed, why it is so, the evidence, or which approvals are missing; "" if there
    is no such request. One query of one row by its number, for who looks every second."""
    found = composed.objects(_revised, pk)
    return _digest(found[0][1:]) if found else ""


def revisions(pks: Iterable[int]) -> dict[int, str]:
    """The same of several, by number. One query."""
    found = _with_facts(PromotionRequest.objects.filter(pk__in=list(pks)))
    return {pk: _digest(facts) for pk, *facts in found}


def _digest(facts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _revised(pk: int) -> QuerySet[PromotionRequest, tuple[Any, ...]]:
    return _with_facts(PromotionRequest.objects.filter(pk=pk))


def _with_facts(found: QuerySet[PromotionRequest]) -> QuerySet[PromotionRequest, tuple[Any, ...]]:
    live = Review.objects.filter(request=OuterRef("pk"), voided_at=None).order_by().values("request")
    given = Subquery(live.annotate(given=Count("pk")).values("given"), output_field=IntegerField())
    facts = ("pk", "status", "status_reason", "waits_for", "fingerprint", "given")
    return found.annotate(given=given).values_list(*facts)
