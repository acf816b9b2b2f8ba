"""Promotion requests: asking, following, deciding, each by the verb that the page calls."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import Q
from django.http import HttpResponse
from ninja import Query, Router, Status
from pydantic import Field

from accounts.models import User
from api import cursors, idempotency, waiting
from api.auth import ApiRequest, Token
from api.problems import NotFound, Problem
from api.schemas import Person, Sent, Shape, Subject, WorkspaceIn, person, url
from approvals import policy, workflow
from approvals.models import PromotionRequest, Review, Target
from approvals.models.requests import OPEN
from approvals.selectors import one_request, request_state
from approvals.webhooks import mlflow_events
from mirror.models import ModelVersion

router = Router(tags=["Requests"])
LONGEST_TEXT = 4000
NOT_YET = 5
"""Seconds in which the worker has usually read a version that was named to it."""

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Wait = Annotated[
    int,
    Query(
        0, ge=0, le=3600, description=f"Seconds to wait for another revision than `since`; at most {waiting.LONGEST}."
    ),
]
Since = Annotated[str, Query("", max_length=64, description="`revision` as this client last saw it.")]
IsOpen = Annotated[bool | None, Query(None, description="Those that are open, or those that are not.")]
Mine = Annotated[bool, Query(False, description="Those for which this token's account counts as the requester.")]
Name = Annotated[str, Query("", max_length=256)]
Number = Annotated[str, Query("", pattern=r"^([1-9][0-9]{0,8})?$")]
StatusWord = Literal[
    "checking", "pending", "changes_requested", "approved", "applied", "failed", "rejected", "withdrawn", "expired"
]
KindWord = Literal["promotion", "rollback", "break_glass", "retroactive"]


class RequestIn(Sent):
    registry: Literal["default"] = "default"
    workspace: WorkspaceIn = ""
    kind: Literal["model"] = "model"
    model: str = Field(min_length=1, max_length=256)
    version: str = Field(pattern=r"^[1-9][0-9]{0,8}$")
    target: str = Field(min_length=1, max_length=60)
    justification: Text


class Missing(Shape):
    """Approvals that are still missing."""

    approvals: int
    group: str | None
    sentence: str


class Request(Subject):
    """One promotion request."""

    id: int
    version: str
    target: str
    request_kind: KindWord
    status: StatusWord
    status_label: str
    status_reason: str
    is_open: bool
    revision: str
    """Another one when the status or the missing approvals have changed: see `since`."""

    justification: str
    replaces: str | None
    """The version that held the target when it was asked."""

    requested_by: Person
    fingerprint: str
    """SHA-256 of the evidence. A review names it: what was read is what is signed."""

    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    closed_at: datetime | None
    url: str


class ReviewOut(Shape):
    id: int
    by: Person
    verdict: Literal["approve", "reject", "request_changes"]
    comment: str
    meaning: str
    fingerprint: str
    at: datetime
    is_void: bool
    """It does not count any more."""


class Action(Shape):
    """Whether this token's account may do it, and why not: as the page says it."""

    is_allowed: bool
    code: str
    reason: str


class OneRequest(Request):
    missing: list[Missing]
    approvals_given: int
    approvals_needed: int
    reviews: list[ReviewOut]
    actions: dict[str, Action]


class Requests(Shape):
    items: list[Request]
    next: str | None


class ReviewIn(Sent):
    verdict: Literal["approve", "reject", "request_changes"]
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the evidence that was read: `fingerprint` of the request, and of `/evidence`."""

    comment: Text = ""
    meaning: Literal["", "reviewed", "approved", "responsible"] = ""


class ReasonIn(Sent):
    reason: Text = ""


class ResubmitIn(Sent):
    justification: Text = ""


class CommentIn(Sent):
    body: Text


class CommentOut(Shape):
    id: int
    by: Person
    body: str
    at: datetime


# --- Asking and following ---------------------------------------------------------------------------------------------


@router.post(
    "/requests",
    auth=Token("requests:write"),
    response={201: OneRequest, 200: OneRequest},
    summary="Request a promotion",
)
@idempotency.again(lambda request, body: Status(200, _now(request, body["id"])))
def create_request(request: ApiRequest, body: RequestIn) -> Status[OneRequest]:
    """409 `already_open`, with the address of the one that is, where the same is asked for already. The same
    `Idempotency-Key` again answers 200 with the request as it is by then."""
    version, target = _version(body), _target(body.target)
    made = workflow.request_promotion(version, target, by=request.auth.user, justification=body.justification)
    return Status(201, _now(request, made.pk))


@router.get("/requests", auth=Token("read"), response=Requests, summary="Requests, newest first")
def list_requests(
    request: ApiRequest,
    response: HttpResponse,
    status: StatusWord | None = None,
    is_open: IsOpen = None,
    model: Name = "",
    version: Number = "",
    target: Name = "",
    mine: Mine = False,
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    found = PromotionRequest.objects.with_subject().defer("evidence", "rule")
    if status:
        found = found.filter(status=status)
    if is_open is not None:
        found = found.filter(status__in=OPEN) if is_open else found.exclude(status__in=OPEN)
    wanted = {"version__model__name": model, "version__number": version, "target__name": target}
    found = found.filter(**{name: value for name, value in wanted.items() if value})
    if mine:
        found = found.filter(_asked_by(request.auth.user))
    page = cursors.page(found, "-pk", limit=limit, cursor=cursor)
    revisions = one_request.revisions([each.pk for each in page.items])
    return cursors.listed(request, response, page, [Request(**_told(each, revisions[each.pk])) for each in page.items])


@router.get("/requests/{int:number}", auth=Token("read"), response=OneRequest, summary="One request, or wait for it")
def get_request(
    request: ApiRequest,
    response: HttpResponse,
    number: int,
    wait: Wait = 0,
    since: Since = "",
) -> OneRequest:
    """With `wait` and `since` it answers as soon as the revision is another than `since`, else unchanged when the time
    is over. Where too many wait already it answers at once, with `Retry-After`."""
    found = find_request(number)
    if wait and since:
        with waiting.place() as is_free:
            if is_free:
                waiting.until_other(lambda: one_request.revision(number), since, wait)
                found = find_request(number)
            else:
                response["Retry-After"] = str(waiting.CROWD.come_again())
    return _shown(found, request.auth.user)


# --- Verbs ------------------------------------------------------------------------------------------------------------


@router.post(
    "/requests/{int:number}/withdraw", auth=Token("requests:write"), response=OneRequest, summary="Withdraw a request"
)
def withdraw_request(request: ApiRequest, number: int, body: ReasonIn) -> OneRequest:
    return _do(request, number, workflow.withdraw, reason=body.reason)


@router.post(
    "/requests/{int:number}/resubmit", auth=Token("requests:write"), response=OneRequest, summary="Submit it again"
)
def resubmit_request(request: ApiRequest, number: int, body: ResubmitIn) -> OneRequest:
    """After changes were requested, after a failed delivery, or when checks block it. An empty justification keeps the
    one that it has."""
    return _do(request, number, workflow.resubmit, justification=body.justification)


@router.post(
    "/requests/{int:number}/comments",
    auth=Token("requests:write"),
    response={201: CommentOut},
    summary="Comment on a request",
)
def comment_on_request(request: ApiRequest, number: int, body: CommentIn) -> Status[CommentOut]:
    said = workflow.comment(find_request(number), by=request.auth.user, body=body.body)
    by = person(request.auth.user)
    return Status(201, CommentOut(id=said.pk, by=by, body=said.body, at=said.created_at))


@router.post(
    "/requests/{int:number}/reviews",
    auth=Token("reviews:write"),
    response={201: OneRequest},
    summary="Review a request",
)
def review_request(request: ApiRequest, number: int, body: ReviewIn) -> Status[OneRequest]:
    """A person's verdict; service accounts never sign. 409 `evidence_changed` where the fingerprint is not the one of
    the evidence as it is now. 403 `step_up_required` where the policy asks for a fresh proof of identity, which can be
    given on the page at `url` alone."""
    found = find_request(number)
    try:
        shown = _do(request, number, workflow.review, **body.model_dump())
    except workflow.NeedsReauthentication as error:
        address = url("approvals:request", found.pk)
        raise Problem(error.status, error.code, error.message, url=address, request=found.pk) from error
    return Status(201, shown)


# --- Shared -----------------------------------------------------------------------------------------------------------


def find_request(number: int) -> PromotionRequest:
    """With what is shown of it. Raises NotFound."""
    found = one_request.find(number)
    if found is None:
        raise NotFound("no_such_request", f"There is no request #{number}.")
    return found


def _asked_by(user: User) -> Q:
    """Those for which the account counts as the requester, as `PromotionRequest.asked_by` says."""
    answers_for = Q(requester__is_service_account=True, requester__owner=user) | Q(owner=user)
    return Q(requester__in=user.asks_as) | answers_for


def _do(request: ApiRequest, number: int, verb: Callable[..., object], **said: Any) -> OneRequest:
    """Carries out one verb, and shows the request as it is afterwards."""
    verb(find_request(number), by=request.auth.user, **said)
    return _now(request, number)


def _now(request: Any, number: int) -> OneRequest:
    return _shown(find_request(number), request.auth.user)


def _version(body: RequestIn) -> ModelVersion:
    """Raises Problem 422. A version that was registered a moment ago may not be mirrored yet: the worker is told."""
    found = ModelVersion.objects.filter(model__name=body.model, number=int(body.version))
    version = found.select_related("model").first()
    if version is None:
        mlflow_events.read_anew(body.model)
        detail = (
            f"Countersign has not seen version {body.version} of {body.model} in MLflow yet. It is looking for it; "
            "try again in a few seconds."
        )
        errors = [{"pointer": "/body/version", "detail": detail}]
        raise Problem(422, "unknown_version", detail, errors=errors, headers={"Retry-After": str(NOT_YET)})
    return version


def _target(name: str) -> Target:
    """Raises Problem 422. A retired one is found: the verb says that it is retired."""
    found: Target | None = Target.objects.filter(name=name).order_by("retired_at").first()
    if found is None:
        known = ", ".join(Target.objects.current().values_list("name", flat=True))
        detail = f"There is no target {name}. There are: {known}."
        raise Problem(422, "unknown_target", detail, errors=[{"pointer": "/body/target", "detail": detail}])
    return found


def _shown(found: PromotionRequest, user: User) -> OneRequest:
    now = request_state.of(found, user)
    return OneRequest(
        **_told(found, one_request.revision(found.pk)),
        missing=[_missing(each) for each in now.states if not each.is_filled] if found.is_open else [],
        approvals_given=now.approvals_given,
        approvals_needed=now.rule.approvals,
        reviews=[_review(each) for each in now.reviews],
        actions={
            name: Action(is_allowed=answer.is_allowed, code=answer.code, reason=answer.reason)
            for name, answer in now.actions.items()
        },
    )


def _review(review: Review) -> ReviewOut:
    said: dict[str, Any] = {name: getattr(review, name) for name in ("verdict", "comment", "meaning", "fingerprint")}
    is_void = review.voided_at is not None
    return ReviewOut(id=review.pk, by=person(review.reviewer), at=review.created_at, is_void=is_void, **said)


def _missing(state: policy.SlotState) -> Missing:
    rest = replace(state.slot, approvals=state.missing)
    return Missing(approvals=rest.approvals, group=rest.group, sentence=rest.sentence)


def _told(found: PromotionRequest, revision: str) -> dict[str, Any]:
    """The fields of a `Request`."""
    same = ("status", "status_reason", "is_open", "justification", "fingerprint")
    moments = ("created_at", "expires_at", "decided_at", "closed_at")
    return {
        **{name: getattr(found, name) for name in (*same, *moments)},
        "id": found.pk,
        "model": found.version.model.name,
        "version": str(found.version.number),
        "target": found.target.name,
        "request_kind": found.kind,
        "status_label": found.get_status_display(),
        "revision": revision,
        "replaces": str(found.replaces.number) if found.replaces else None,
        "requested_by": person(found.requester),
        "url": url("approvals:request", found.pk),
    }
