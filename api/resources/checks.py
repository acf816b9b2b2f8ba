"""Automatic checks of a request, and results of external ones."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.utils import timezone
from ninja import Path, Router
from pydantic import Field

from api.auth import ApiRequest, Token
from api.problems import NotFound
from api.resources.requests import find_request
from api.schemas import Person, Sent, Shape, person
from approvals.checks import external
from approvals.models import CheckResult
from approvals.selectors import request_state
from approvals.webhooks import check_results

router = Router(tags=["Checks"])


class CheckOut(Shape):
    name: str
    """Of an external check: what its result is reported under; else ""."""

    kind: str
    title: str
    effect: Literal["block", "warn", "inform"]
    outcome: Literal["pass", "warn", "fail", "waiting"]
    reason: str
    fingerprint: str
    """Of the evidence that it looked at."""

    checked_at: datetime
    answered_at: datetime | None
    answer_by: datetime | None
    overridden_by: Person | None
    overridden_at: datetime | None
    override_reason: str
    blocks: bool


class Checks(Shape):
    items: list[CheckOut]


class ResultIn(Sent):
    result: Literal["pass", "fail"]
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the evidence that was checked: `fingerprint` of the check."""

    reason: str = Field("", max_length=external.LONGEST_REASON)


class Reported(Shape):
    detail: str
    check: CheckOut


Name = Annotated[str, Path(max_length=200)]


@router.get("/requests/{int:number}/checks", auth=Token("read"), response=Checks, summary="Checks of a request")
def list_checks(request: ApiRequest, number: int) -> Checks:
    """Those that stand now, in the policy's order."""
    return Checks(items=[_told(each) for each in request_state.of(find_request(number)).checks])


@router.post(
    "/requests/{int:number}/checks/{name}",
    auth=Token("checks:write"),
    response=Reported,
    summary="Report an external check",
)
def report_check(request: ApiRequest, number: int, name: Name, body: ResultIn) -> Reported:
    """For service accounts in the group of the check's name, and not for the one that asked. The same result once more
    is taken; another one is 409, for the first counts. The signed callback of an external check stays as it is."""
    found = find_request(number)
    known = request_state.of(found).checks
    check = next((each for each in known if _name(each) == name), None)
    if check is None:
        raise NotFound("no_such_check", f"Request #{number} has no external check {name}.")
    words = check_results.report(
        check,
        by=request.auth.user,
        passed=body.result == "pass",
        reason=body.reason,
        fingerprint=body.fingerprint,
        now=timezone.now(),
    )
    return Reported(detail=words, check=_told(CheckResult.objects.select_related("overridden_by").get(pk=check.pk)))


def _name(check: CheckResult) -> str:
    return str(check.terms.get("name", "")) if check.kind == external.KIND.key else ""


SAME = ("kind", "title", "effect", "outcome", "reason", "fingerprint", "checked_at", "answered_at")
OVERRIDDEN = ("overridden_at", "override_reason", "blocks")


def _told(check: CheckResult) -> CheckOut:
    said: dict[str, Any] = {name: getattr(check, name) for name in (*SAME, *OVERRIDDEN)}
    overridden_by = person(check.overridden_by) if check.overridden_by else None
    return CheckOut(name=_name(check), answer_by=check.deadline_at, overridden_by=overridden_by, **said)
