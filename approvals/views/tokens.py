"""API tokens and service accounts: one's own, those that one owns, and for administrators all."""

from dataclasses import dataclass
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import ApiToken, TrustedPublisher, User
from approvals import administration
from approvals.forms.tokens import PublisherForm, ServiceAccountForm, TokenForm
from approvals.selectors import api_tokens
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Group:
    """The tokens of one account that the reader answers for."""

    account: User
    live: list[ApiToken]
    publishers: list[TrustedPublisher]

    @property
    def is_own(self) -> bool:
        return not self.account.is_service_account


@require_safe
def own(request: SignedInRequest) -> HttpResponse:
    accounts = [request.user, *api_tokens.service_accounts(request.user)]
    live, publishers = api_tokens.live(accounts), api_tokens.publishers(accounts)
    context = {
        "groups": [
            Group(
                each,
                [token for token in live if token.account_id == each.pk],
                [publisher for publisher in publishers if publisher.account_id == each.pk],
            )
            for each in accounts
        ],
        "ended": api_tokens.ended(accounts),
    }
    return render(request, "approvals/tokens/own.html", context)


# With a session that a person left open, another one must not make themself a way in that lasts.
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@reauthentication_required(allow_get=True, app="allauth.account")  # type: ignore[untyped-decorator]
def make(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    """Answers the form with the token itself, not with a redirect: it is shown once and kept nowhere."""
    whose = request.user if pk is None else get_object_or_404(User, pk=pk, is_service_account=True)
    answer = administration.may_make_token(request.user, whose)
    if not answer:
        raise PermissionDenied(answer.reason)
    form = TokenForm(request.POST or None, account=whose, initial={"scopes": ["read"]})
    attempt = Attempt(form, "name")
    if request.method == "POST" and form.is_valid():
        given: dict[str, Any] = form.cleaned_data
        with attempt:
            token, text = administration.make_token(
                whose, name=given["name"], scopes=given["scopes"], days=given["days"], by=request.user
            )
            return render(request, "approvals/tokens/made.html", {"token": token, "text": text, "account": whose})
    return render(request, "approvals/tokens/new.html", {"form": form, "account": whose}, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: SignedInRequest, pk: int) -> HttpResponse:
    """Asks first, and says what it means."""
    token = get_object_or_404(ApiToken.objects.select_related("account__owner"), pk=pk)
    answer = administration.may_revoke_token(request.user, token)
    if not answer:
        raise PermissionDenied(answer.reason)
    is_own = administration.may_make_token(request.user, token.account).is_allowed
    back = "approvals:tokens" if is_own else "approvals:person_tokens"
    if request.method == "POST":
        was_live = administration.revoke_token(token, by=request.user)
        done = "is revoked" if was_live else "was revoked already"
        messages.success(request, f"The API token {token.name} {done}.")
        return redirect(back)
    return render(request, "approvals/tokens/revoke.html", {"token": token, "back": back, "is_own": is_own})


@require_http_methods(["GET", "HEAD", "POST"])
@reauthentication_required(allow_get=True, app="allauth.account")  # type: ignore[untyped-decorator]
def add_publisher(request: SignedInRequest, pk: int) -> HttpResponse:
    account = get_object_or_404(User, pk=pk, is_service_account=True)
    answer = administration.may_add_publisher(request.user, account)
    if not answer:
        raise PermissionDenied(answer.reason)
    form = PublisherForm(request.POST or None, account=account)
    attempt = Attempt(form, "repository")
    if request.method == "POST" and form.is_valid():
        with attempt:
            publisher = administration.add_publisher(account, **form.terms(), by=request.user)
            messages.success(request, f"Jobs of {publisher} act as {account.name} now.")
            return redirect("approvals:tokens")
    context = {"form": form, "account": account, "audience": settings.SITE_URL}
    return render(request, "approvals/tokens/new_publisher.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
def retire_publisher(request: SignedInRequest, pk: int) -> HttpResponse:
    """Asks first, and says what it means."""
    publisher = get_object_or_404(TrustedPublisher.objects.select_related("account"), pk=pk)
    answer = administration.may_retire_publisher(request.user, publisher)
    if not answer:
        raise PermissionDenied(answer.reason)
    is_own = publisher.account.owner_id == request.user.pk
    back = "approvals:tokens" if is_own else "approvals:person_tokens"
    if request.method == "POST":
        administration.retire_publisher(publisher, by=request.user)
        messages.success(request, f"Jobs of {publisher} get no more tokens.")
        return redirect(back)
    return render(request, "approvals/tokens/retire_publisher.html", {"publisher": publisher, "back": back})


@require_safe
@needs(administration.PEOPLE)
def everyones(request: SignedInRequest) -> HttpResponse:
    are_live = request.GET.get("show") != "ended"
    page = Paginator(api_tokens.everyones(are_live=are_live), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "are_live": are_live,
        "page": page,
        "service_accounts": api_tokens.service_accounts(),
        "publishers": api_tokens.publishers(),
    }
    return render(request, "approvals/tokens/everyones.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def add_service_account(request: SignedInRequest) -> HttpResponse:
    form = ServiceAccountForm(request.POST or None)
    attempt = Attempt(form, "name")
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        with attempt:
            made = administration.make_service_account(
                name=given["name"], owner=given["owner"], groups=given["roles"], by=request.user
            )
            messages.success(request, f"The service account {made.name} was added. {made.owner} makes its tokens.")
            return redirect("approvals:person", pk=made.pk)
    return render(request, "approvals/tokens/new_service_account.html", {"form": form}, status=attempt.status)
