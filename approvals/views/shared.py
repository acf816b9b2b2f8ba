"""What several views need: typed requests, and turning a refused verb into a message."""

from django.contrib import messages
from django.http import HttpRequest

from approvals.workflow import WorkflowError
from registry_ui.accounts.models import User


class SignedInRequest(HttpRequest):
    """A request behind LoginRequiredMiddleware."""

    user: User


def tell(request: HttpRequest, error: WorkflowError) -> None:
    messages.error(request, error.message)
