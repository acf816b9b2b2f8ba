"""Confirming that what MLflow no longer lists is gone. The form stands on the System page."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from approvals import administration
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest, tell
from approvals.workflow import WorkflowError


@require_POST
@needs(administration.POLICIES)
def confirm(request: SignedInRequest) -> HttpResponse:
    try:
        administration.confirm_deletions(by=request.user, reason=request.POST.get("reason", "")[:4000])
    except WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, "Confirmed. The next sweep asks MLflow for each by name, and marks what is gone.")
    return redirect("system")
