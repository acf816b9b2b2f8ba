"""Where people without a role land: what they may do already, and who can give them one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from registry_ui.accounts.models import User

NAMED = 20
"""So many administrators are named; more nobody needs to ask."""


@require_safe
def welcome(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated and request.user.groups.exists():
        return redirect("approvals:inbox")
    context = {"administrators": User.objects.holding("accounts.manage_people")[:NAMED]}
    return render(request, "registry_ui/welcome.html", context)
