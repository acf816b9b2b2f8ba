"""Where people without a role land, and the way to the identity provider when it does not answer."""

import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.openid_connect.views import login
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from registry_ui.accounts.models import User

NAMED = 20
"""So many administrators are named; nobody needs to ask more."""


@require_safe
def welcome(request: HttpRequest) -> HttpResponse:
    """What somebody without a role may do already, and who can give them one."""
    if request.user.is_authenticated and request.user.groups.exists():
        return redirect("approvals:inbox")
    context = {"administrators": User.objects.holding("accounts.manage_people")[:NAMED]}
    return render(request, "registry_ui/welcome.html", context)


@login_not_required
def to_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """django-allauth's view, which lets a provider that is away become a server error."""
    try:
        answer: HttpResponse = login(request, provider_id)
    except requests.RequestException as error:
        provider = get_adapter().get_provider(request, provider_id)
        answer = render_authentication_error(request, provider, exception=error)
    return answer
