"""What the verbs share: their errors, and the one way to move a request."""

from typing import Any

from approvals import policy
from approvals.models import PromotionRequest, Status


class WorkflowError(Exception):
    """A verb was refused; `message` is a sentence for the user, `code` the same for programs, as in `policy.Answer`."""

    status = 422
    """The HTTP status with which a page, and the API, say so."""

    usual = "invalid"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message, self.code = message, code or self.usual


class NotAllowed(WorkflowError):
    """This person may not do this (now)."""

    status, usual = 403, "not_allowed"


class Invalid(WorkflowError):
    """Something is missing in what was said, such as a required comment."""


class NoMeaning(Invalid):
    """The policy asks what an approval means."""

    usual = "meaning_required"


class NeedsReauthentication(WorkflowError):
    """The policy asks for a fresh proof of identity with this signature."""

    status, usual = 403, "step_up_required"


class Conflict(WorkflowError):
    """Another person was faster, or the page was old. `request` is the one to look at, where there is one."""

    status, usual = 409, "conflict"

    def __init__(self, message: str, request: PromotionRequest | None = None, *, code: str = "") -> None:
        super().__init__(message, code=code)
        self.request = request


def require(answer: policy.Answer) -> None:
    """Raises NotAllowed with the answer's reason and code, unless it is yes."""
    if not answer:
        raise NotAllowed(answer.reason, code=answer.code)


def move(request: PromotionRequest, to: Status, **fields: Any) -> None:
    """Moves the request and reads it again, or raises Conflict when another person was faster."""
    if not PromotionRequest.objects.filter(pk=request.pk).move(to, **fields):
        raise Conflict("Another person was faster. See the request as it is now.", request, code="overtaken")
    request.refresh_from_db()


def store(request: PromotionRequest, **fields: Any) -> None:
    """Writes these fields of a locked request, which stays in its status."""
    PromotionRequest.objects.filter(pk=request.pk).update(**fields)
    for name, value in fields.items():
        setattr(request, name, value)


def nobody_has_approved(rule: policy.Rule) -> str:
    return policy.waits_for(policy.slot_states(rule, approvers=[], eligible=[]))
