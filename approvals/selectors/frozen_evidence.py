"""The evidence of a request as it would be frozen now, and what changed since it was."""

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When

from approvals import evidence, policy
from approvals.models import PromotionRequest, Status
from approvals.models.requests import AfterVerdict, RequestKind
from approvals.selectors import champions
from mirror.models import Inspection, ModelVersion


def frozen_now(request: PromotionRequest, *, champion: ModelVersion | None, anew: bool = False) -> str:
    """The evidence as it would be frozen now, under the request's own rule; in the format that the request has, or
    `anew` in today's."""
    files = approved_files(request)
    frozen = evidence.freeze(
        version=request.version,
        champion=champion,
        target=request.target,
        rule=policy.Rule.from_json(request.rule),
        justification=request.justification,
        files=files,
        early=not anew and evidence.is_early(request.evidence),
    )
    return evidence.as_before(frozen, request.evidence) if request.evidence and not anew else frozen


def fields_now(request: PromotionRequest, champion: ModelVersion | None, *, anew: bool = False) -> dict[str, Any]:
    """The evidence as it would be frozen now, with what follows from it, as fields of the request. `anew`: see
    `frozen_now`."""
    frozen = frozen_now(request, champion=champion, anew=anew)
    return {
        "evidence": frozen,
        "fingerprint": evidence.fingerprint(frozen),
        "parts": evidence.part_digests(frozen),
        "champion": champion,
    }


def in_todays_format(request: PromotionRequest, champion: ModelVersion | None) -> dict[str, Any]:
    """The fields of a request whose evidence is in an early format to which no sign-off is bound; {} of any other."""
    if not evidence.is_early(request.evidence) or request.reviews.live().exists():
        return {}
    return fields_now(request, champion, anew=True)


def approved_before(request: PromotionRequest) -> PromotionRequest | None:
    """Of a rollback: the newest request with which its version reached the target before; None when it was there
    before Countersign. An emergency promotion counts once it was found justified."""
    return _approved(request.version_id, request.target_id).exclude(pk=request.pk).first()


def _approved(version: Any, target: Any) -> "QuerySet[PromotionRequest]":
    """With which the version reached the target, the newest first. Numbers, or references to them."""
    unapproved = Q(kind=RequestKind.BREAK_GLASS) & ~Q(afterwards_verdict=AfterVerdict.JUSTIFIED)
    found = PromotionRequest.objects.filter(version=version, target=target, status=Status.APPLIED)
    return found.exclude(unapproved).order_by("-closed_at", "-pk")


def files_of() -> Case:
    """For a query of requests: of each rollback the number of the request whose files it is held to."""
    before = _approved(OuterRef("version"), OuterRef("target")).exclude(pk=OuterRef("pk"))
    return Case(When(kind=RequestKind.ROLLBACK, then=Subquery(before.values("pk")[:1])))


def approved_files(request: PromotionRequest) -> dict[str, Any] | None:
    """Of a rollback: what was known of the version's files when it was approved; None where nothing was."""
    if request.kind != RequestKind.ROLLBACK:
        return None
    before = approved_before(request)
    found: dict[str, Any] | None = json.loads(before.evidence)["version"].get("files") if before else None
    return found


def other_files(request: PromotionRequest) -> str:
    """Of a rollback: that the bytes are others than those that were approved, as a sentence; else ""."""
    approved = approved_files(request)
    found = Inspection.objects.filter(version=request.version_id).first()
    if approved is None or found is None or found.files == approved:
        return ""
    return "The model's files differ from the approved ones. Request a promotion of this version instead."


def changes(request: PromotionRequest) -> list[str]:
    """What differs between the frozen evidence and the mirror now, each as a few words."""
    frozen = frozen_now(request, champion=champions.champion_for(request))
    return [] if frozen == request.evidence else evidence.differences(request.evidence, frozen)


def listed(changed: Sequence[str], *, limit: int = 5) -> str:
    """The first `limit` of them, and how many more there are."""
    more = f" and {len(changed) - limit} more" if len(changed) > limit else ""
    return ", ".join(changed[:limit]) + more
