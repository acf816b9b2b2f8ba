"""Databricks' objects, as JSON. Clients leave out what they do not know, so what is ours stands beside it: the number
of a request, its page and the fingerprint of its evidence."""

from datetime import datetime
from typing import Any

from accounts.models import User
from api.databricks import finding
from api.schemas import person, url
from approvals.evidence import approval_note
from approvals.models import Comment, PromotionRequest, Review, Verdict
from approvals.selectors.request_state import RequestState
from mirror.models import ModelVersion, RegisteredModel

ACTIONS = {
    "approve": "APPROVE_TRANSITION_REQUEST",
    "reject": "REJECT_TRANSITION_REQUEST",
    "withdraw": "CANCEL_TRANSITION_REQUEST",
}
"""Ours and theirs."""

DECIDED = {Verdict.APPROVE: "APPROVED_REQUEST", Verdict.REJECT: "REJECTED_REQUEST"}


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def user_id(user: User) -> str:
    """Databricks' user name: the e-mail address."""
    found = person(user)
    return found.email or found.name


def requested(state: RequestState) -> dict[str, Any]:
    """A TransitionRequest and an Activity in one, with what the caller may do with it."""
    request = state.request
    return {
        **_subject(request),
        "id": str(request.pk),
        "activity_type": "REQUESTED_TRANSITION",
        "comment": request.justification,
        "system_comment": standing(state),
        "user_id": user_id(request.requester),
        "creation_timestamp": milliseconds(request.created_at),
        "last_updated_timestamp": milliseconds(request.closed_at or request.decided_at or request.created_at),
        "available_actions": [theirs for ours, theirs in ACTIONS.items() if state.actions[ours]],
    }


def decided(review: Review, state: RequestState, *, remark: str = "") -> dict[str, Any]:
    """The Activity of a verdict; `remark` is what else the signer should know."""
    at = milliseconds(review.created_at)
    return {
        **_subject(state.request),
        "id": f"review-{review.pk}",
        "activity_type": DECIDED[Verdict(review.verdict)],
        "comment": review.comment,
        "system_comment": f"{standing(state)} {remark}".strip(),
        "user_id": user_id(review.reviewer),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
    }


def cancelled(request: PromotionRequest, *, by: User) -> dict[str, Any]:
    """The Activity of a request that was withdrawn."""
    at = milliseconds(request.closed_at or request.created_at)
    return {
        **_subject(request),
        "id": str(request.pk),
        "activity_type": "CANCELLED_REQUEST",
        "comment": request.status_reason,
        "user_id": user_id(by),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
    }


def standing(state: RequestState) -> str:
    """`Waiting for review: 1 of 2 approvals.`"""
    label, needed = state.request.get_status_display(), state.rule.approvals
    return f"{label}: {state.approvals_given} of {needed} approval{'' if needed == 1 else 's'}."


def comment(said: Comment) -> dict[str, Any]:
    """No action is open to anybody: a comment is on the record."""
    at = milliseconds(said.created_at)
    return {
        "id": str(said.pk),
        "comment": said.body,
        "user_id": user_id(said.author),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
        "available_actions": [],
        "request_id": said.request_id,
        "url": url("approvals:request", said.request_id),
    }


def model(found: RegisteredModel, latest: list[ModelVersion], caller: User) -> dict[str, Any]:
    return {
        "id": str(found.pk),
        "name": found.name,
        "description": found.description,
        "creation_timestamp": milliseconds(found.created_at),
        "last_updated_timestamp": milliseconds(found.last_updated_at),
        "latest_versions": [_version(found, each) for each in latest],
        "tags": _tags(found.tags),
        "permission_level": permission_level(caller),
        "url": url("model", found.name),
    }


def permission_level(user: User) -> str:
    """Databricks' level that comes nearest to the person's roles. None of them goes round a request here."""
    if user.has_perm("approvals.manage_policies"):
        return "CAN_MANAGE"
    if user.has_perm("approvals.review_promotion"):
        return "CAN_MANAGE_PRODUCTION_VERSIONS"
    return "CAN_EDIT" if user.has_perm("approvals.request_promotion") else "CAN_READ"


def _subject(request: PromotionRequest) -> dict[str, Any]:
    return {
        "request_id": request.pk,
        "name": request.version.model.name,
        "version": str(request.version.number),
        "from_stage": request.version.stage,
        "to_stage": finding.stage_of(request.target),
        "status": request.status,
        "fingerprint": request.fingerprint,
        "url": url("approvals:request", request.pk),
    }


def _version(model: RegisteredModel, found: ModelVersion) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": str(found.number),
        "current_stage": found.stage,
        "description": approval_note.without_notes(found.description),
        "source": found.source,
        "run_id": found.run_id,
        "status": found.status,
        "tags": _tags(found.tags),
        "creation_timestamp": milliseconds(found.created_at),
        "last_updated_timestamp": milliseconds(found.last_updated_at),
    }


def _tags(tags: dict[str, Any]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in tags.items()]
