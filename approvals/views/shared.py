"""What several views need: typed requests, and one answer to a verb that was refused."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from accounts.models import User
from approvals.workflow import WorkflowError


class SignedInRequest(HttpRequest):
    """A request behind LoginRequiredMiddleware."""

    user: User


def tell(request: HttpRequest, error: WorkflowError) -> int:
    """Says above the page that is shown next why nothing was done; returns what that page answers."""
    messages.error(request, error.message)
    return error.status


class Attempt:
    """`with Attempt(form, "email") as attempt:` around a verb and what follows it. A refusal is on the form, at the
    field, and `attempt.status` is what its page answers."""

    def __init__(self, form: forms.BaseForm, field: str | None = None) -> None:
        self.form, self.field = form, field
        self.refusal: WorkflowError | None = None

    @property
    def status(self) -> int:
        return self.refusal.status if self.refusal else 422 if self.form.errors else 200

    def refuse(self, error: WorkflowError) -> None:
        self.form.add_error(self.field, error.message)
        self.refusal = error

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, WorkflowError):
            return False
        self.refuse(error)
        return True
