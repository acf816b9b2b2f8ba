"""Where people without a role land, the way to the identity provider and back when it does not answer, and the proof
that is given there."""

from datetime import timedelta
from typing import Any

import requests
from allauth.account.decorators import reauthentication_required
from allauth.account.utils import get_next_redirect_url
from allauth.account.views import BaseReauthenticateView, password_set
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import login
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import at_provider, claims, roles, security_log, sessions
from accounts.models import User

NAMED = 20
"""So many administrators are named; no one needs to ask more."""

FAILURES = (requests.RequestException, claims.Unusable)
"""What a provider that is away, or answers nonsense, raises outside the part that django-allauth guards."""


@require_safe
def welcome(request: HttpRequest) -> HttpResponse:
    """What a person without a role may do already, and who can give them one."""
    if request.user.has_role:  # type: ignore[union-attr]
        return redirect("home")
    return _without_role(request, 200, "An administrator can give you one.")


def role_needed(request: HttpRequest) -> HttpResponse:
    """The same in place of every other page: it is there as soon as they have a role."""
    security_log.note_denial(request, roles.NEEDED)
    return _without_role(request, 403, roles.NEEDED)


def _without_role(request: HttpRequest, status: int, sentence: str) -> HttpResponse:
    administrators = User.objects.holding("accounts.manage_people")[:NAMED]
    context = {"administrators": administrators, "sentence": sentence}
    return render(request, "accounts/welcome.html", context, status=status)


@login_not_required
def to_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """django-allauth's view, which lets a provider that is away become a server error."""
    try:
        answer: HttpResponse = login(request, provider_id)
    except FAILURES as error:
        provider = get_adapter().get_provider(request, provider_id)
        answer = render_authentication_error(request, provider, exception=error)
    return answer


@login_not_required
def from_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """The same on the way back."""
    stashed = statekit.get_states(request).get(request.GET.get("state", ""))
    try:
        answer: HttpResponse = OAuth2CallbackView.adapter_view(claims.Adapter(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    except FAILURES as error:
        provider = get_adapter().get_provider(request, provider_id)
        context = {"state": stashed[0]} if stashed else {}
        answer = render_authentication_error(request, provider, exception=error, extra_context=context)
    return answer


def open_sessions(request: HttpRequest) -> HttpResponse:
    """Where this person is signed in; one of them, or all but this one, can be ended."""
    person: Any = request.user
    this = request.session.session_key
    if request.method == "POST":
        number = request.POST.get("session", "")
        numbers = [int(number)] if number.isdecimal() and len(number) < 19 else None
        ended = sessions.end_all(person, "by the person", but=this, numbers=numbers) if number else 0
        words = f"{ended} session{'' if ended == 1 else 's'} ended." if ended else "No session was left to end."
        messages.success(request, words)
        return redirect("usersessions_list")
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    found = sessions.of(person, this)
    context = {
        "sessions": found,
        "has_others": any(not each.is_this for each in found),
        "longest": timedelta(seconds=settings.SESSION_COOKIE_AGE),
        "idle": timedelta(seconds=settings.SESSION_IDLE_SECONDS),
    }
    return render(request, "accounts/sessions.html", context)


class ProveAtProvider(BaseReauthenticateView):
    """Says what will happen, and leads to the provider."""

    form_class = forms.Form
    template_name = "account/reauthenticate_at_provider.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = at_provider.linked(self.request.user)
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {"provider": found[1] if found else None}

    def form_valid(self, form: forms.Form) -> HttpResponse:  # noqa: ARG002 -- the hook's shape
        return at_provider.begin(
            self.request, get_next_redirect_url(self.request) or reverse(settings.LOGIN_REDIRECT_URL)
        )


prove_at_provider = ProveAtProvider.as_view()
set_password = reauthentication_required(password_set, app="allauth.account")
"""allauth lets anybody who has none set a password, without asking who they are."""
