"""What stops Countersign, ended by an administrator's word. The forms stand on the System page, which is the roof's, so
that a refusal is told there after a redirect."""

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
def end(request: SignedInRequest, standstill: administration.Standstill) -> HttpResponse:
    try:
        administration.end_standstill(standstill, by=request.user, reason=request.POST.get("reason", "")[:4000])
    except WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, standstill.done)
    return redirect("system")
