"""What the checklist of the first day does: hides itself, and sends a test mail."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from approvals.views.shared import SignedInRequest
from registry_ui import first_day as checklist


@require_POST
def first_day(request: SignedInRequest) -> HttpResponse:
    """`do` is `hide` or `mail`."""
    if not request.user.has_perm("accounts.manage_people"):
        raise PermissionDenied("Only administrators set this installation up.")
    if request.POST.get("do") == "mail":
        try:
            checklist.send_test_mail(request.user)
        except OSError as error:  # smtplib's, too
            messages.error(request, f"The test mail was not sent: {error}")
        else:
            messages.success(request, f"A test mail was sent to {request.user.email}.")
    else:
        checklist.hide(request.user)
        messages.success(request, "The checklist is hidden. System shows how each part is.")
    return redirect("overview")
