"""What several views need: typed requests, and turning a refused verb into a message."""

from django.contrib import messages
from django.http import HttpRequest

from accounts.models import User
from approvals.workflow import WorkflowError


class SignedInRequest(HttpRequest):
    """A request behind LoginRequiredMiddleware."""

    user: User


def tell(request: HttpRequest, error: WorkflowError) -> None:
    messages.error(request, error.message)
