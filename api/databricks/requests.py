"""Transition requests: each call is the verb that the page calls, on the request that is open for a version and a
stage."""

from typing import Any, NoReturn

from ninja import Router

from api.auth import ApiRequest, Token
from api.databricks import finding, shapes
from api.databricks.reading import Name, OfVersion, Text, said
from api.problems import Problem
from api.resources.requests import find_request
from api.schemas import url
from approvals import policy, workflow
from approvals.models import PromotionRequest, Review, Verdict
from approvals.selectors import request_state, reviewers, rules

router = Router()


class Transition(OfVersion):
    stage: Name
    comment: Text = ""


class Decision(Transition):
    fingerprint: str = ""
    """Not Databricks': of the evidence that was read. Without it the signature is over the evidence as it is now."""

    meaning: str = ""
    """Not Databricks': what the signature means, where the policy asks for it."""


class Approval(Decision):
    archive_existing_versions: bool | None = None


class Cancellation(Transition):
    creator: Text = ""


@router.post("/transition-requests/create", auth=Token("requests:write"))
def create_transition_request(request: ApiRequest) -> dict[str, Any]:
    asked = said(request, Transition)
    version, target = finding.version(asked.name, asked.version), finding.target(asked.stage)
    made = workflow.request_promotion(version, target, by=request.auth.user, justification=asked.comment)
    return {"request": shapes.requested(_state(request, made.pk))}


@router.get("/transition-requests/list", auth=Token("read"))
def list_transition_requests(request: ApiRequest) -> dict[str, Any]:
    asked = said(request, OfVersion)
    version = finding.version(asked.name, asked.version)
    found = PromotionRequest.objects.open().filter(version=version).order_by("pk").values_list("pk", flat=True)
    return {"requests": [shapes.requested(_state(request, number)) for number in found]}


@router.post("/transition-requests/approve", auth=Token("reviews:write"))
def approve_transition_request(request: ApiRequest) -> dict[str, Any]:
    asked = said(request, Approval)
    review = _sign(request, asked, Verdict.APPROVE)
    target = review.request.target
    remark = ""
    if asked.archive_existing_versions not in (None, target.archives_existing):
        does = "archives existing versions" if target.archives_existing else "archives no other version"
        remark = f"The target {does}, whatever the call says."
    return {"activity": shapes.decided(review, _state(request, review.request_id), remark=remark)}


@router.post("/transition-requests/reject", auth=Token("reviews:write"))
def reject_transition_request(request: ApiRequest) -> dict[str, Any]:
    review = _sign(request, said(request, Decision), Verdict.REJECT)
    return {"activity": shapes.decided(review, _state(request, review.request_id))}


@router.delete("/transition-requests/delete", auth=Token("requests:write"))
def delete_transition_request(request: ApiRequest) -> dict[str, Any]:
    """Withdraws it; nothing is deleted. Raises Problem 422 for a request of another person than `creator`."""
    asked = said(request, Cancellation)
    found = _open(asked)
    if asked.creator and not finding.is_called(found.requester, asked.creator):
        raise Problem(422, "no_request", f"{asked.creator} has no open request for this; {found} is another person's.")
    workflow.withdraw(found, by=request.auth.user, reason=asked.comment)
    return {"activity": shapes.cancelled(_state(request, found.pk).request, by=request.auth.user)}


@router.post("/databricks/model-versions/transition-stage", auth=Token("requests:write"))
def transition_stage(request: ApiRequest) -> NoReturn:
    """Moves nothing: without a request there is the emergency promotion alone, which asks for a proof of identity that
    no token is. Raises Problem 403, with the address of the page that helps."""
    asked = said(request, Transition)
    version, target = finding.version(asked.name, asked.version), finding.target(asked.stage)
    way = f"Version {version.number} reaches {finding.stage_of(target)} by an approved transition request."
    rule = rules.rule_for(version.model.name, target)
    answer = policy.may_break_glass(reviewers.actor_of(request.auth.user), rule.break_glass)
    if not answer:
        page = url("approvals:ask", version.model.name, version.number)
        raise Problem(403, answer.code, f"{way} {answer.reason}", url=page)
    page = url("approvals:break_glass", version.model.name, version.number, target.pk)
    words = "An emergency promotion requires a proof of identity, which can be given on its page alone."
    raise Problem(403, "step_up_required", f"{way} {words}", url=page)


def _open(asked: Transition) -> PromotionRequest:
    return finding.open_request(finding.version(asked.name, asked.version), finding.target(asked.stage))


def _sign(request: ApiRequest, asked: Decision, verdict: Verdict) -> Review:
    """Over the fingerprint that the client names, or else of the evidence as it was read here. What only the page can
    ask for is refused with its address."""
    found = _open(asked)
    try:
        return workflow.review(
            found,
            by=request.auth.user,
            verdict=verdict,
            comment=asked.comment,
            fingerprint=asked.fingerprint or found.fingerprint,
            meaning=asked.meaning,
        )
    except (workflow.NeedsReauthentication, workflow.NoMeaning) as error:
        page = url("approvals:request", found.pk)
        raise Problem(error.status, error.code, error.message, url=page, request=found.pk) from error


def _state(request: ApiRequest, number: int) -> request_state.RequestState:
    """As it is now, for the caller."""
    return request_state.of(find_request(number), request.auth.user)
