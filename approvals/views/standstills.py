"""What stops writing to MLflow, ended by an administrator's word. The forms stand on the System page."""

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
def accept(request: SignedInRequest) -> HttpResponse:
    try:
        administration.accept_registry(by=request.user, reason=request.POST.get("reason", "")[:4000])
    except WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, "The registry is accepted. The worker reads it within a minute.")
    return redirect("system")


@require_POST
@needs(administration.POLICIES)
def acknowledge(request: SignedInRequest) -> HttpResponse:
    try:
        administration.acknowledge_cut(by=request.user, reason=request.POST.get("reason", "")[:4000])
    except WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, "Acknowledged. Deliveries go on.")
    return redirect("system")
