"""Outgoing webhooks: the list, one with its log, and what administrators do with it."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import administration
from approvals.forms.webhooks import ReplayForm, RotateForm, WebhookForm
from approvals.models import Webhook, WebhookAttempt
from approvals.selectors import webhooks as selector
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest, tell
from approvals.workflow import WorkflowError
from mirror import clock


@require_safe
@needs(administration.WEBHOOKS)
def webhooks(request: SignedInRequest) -> HttpResponse:
    return render(request, "approvals/webhooks/webhooks.html", {"rows": selector.overview()})


@require_safe
@needs(administration.WEBHOOKS)
def webhook(request: SignedInRequest, pk: int) -> HttpResponse:
    return _page(request, _found(pk), ReplayForm())


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.WEBHOOKS)
def edit(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    found = _found(pk) if pk is not None else Webhook()
    name = found.name
    form = WebhookForm(request.POST or None, webhook=found, initial=WebhookForm.initial_of(found) if pk else None)
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        with attempt:
            saved = administration.save_webhook(form.typed(), by=request.user)
            if pk is None:
                return _secret(request, saved)
            messages.success(request, f"The webhook “{saved.name}” is saved.")
            return redirect(saved)
    context = {"form": form, "pk": pk, "name": name}
    return render(request, "approvals/webhooks/form.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.WEBHOOKS)
def rotate(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    form = RotateForm(request.POST or None)
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        keeps = form.cleaned_data["previous"] == "keep"
        with attempt:
            return _secret(request, administration.rotate_webhook(found, keeps_previous=keeps, by=request.user))
    context = {"webhook": found, "form": form}
    return render(request, "approvals/webhooks/rotate.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.WEBHOOKS)
def retire(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    if request.method == "POST":
        return _done(
            request,
            lambda: administration.retire_webhook(found, by=request.user),
            f"The webhook “{found.name}” is deleted.",
            "approvals:webhooks",
        )
    return render(request, "approvals/webhooks/retire.html", {"webhook": found})


@require_POST
@needs(administration.WEBHOOKS)
def pause(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    return _done(
        request,
        lambda: administration.pause_webhook(found, by=request.user),
        "The webhook is paused. Events wait until you resume it.",
        found,
    )


@require_POST
@needs(administration.WEBHOOKS)
def resume(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    return _done(
        request,
        lambda: administration.resume_webhook(found, by=request.user),
        "The worker sends the next message now.",
        found,
    )


@require_POST
@needs(administration.WEBHOOKS)
def replay(request: SignedInRequest, pk: int) -> HttpResponse:
    found, form = _found(pk), ReplayForm(request.POST)
    attempt = Attempt(form, "sequence")
    if form.is_valid():
        sequence = form.cleaned_data["sequence"]
        with attempt:
            administration.replay_webhook(found, sequence=sequence, by=request.user)
            messages.success(request, f"The webhook continues with event {sequence}.")
            return redirect(found)
    return _page(request, found, form, attempt.status)


@require_POST
@needs(administration.WEBHOOKS)
def test(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    return _done(
        request,
        lambda: administration.ask_for_test(found, by=request.user),
        "The worker sends a test message; the log shows what came of it.",
        found,
    )


@require_POST
@needs(administration.WEBHOOKS)
def again(request: SignedInRequest, pk: int, attempt: int) -> HttpResponse:
    sent = get_object_or_404(WebhookAttempt.objects.select_related("webhook"), pk=attempt, webhook=_found(pk))
    return _done(
        request,
        lambda: administration.send_again(sent, by=request.user),
        "The worker sends the message again; the log shows what came of it.",
        sent.webhook,
    )


def _found(pk: int) -> Webhook:
    return get_object_or_404(Webhook.objects.current(), pk=pk)


def _page(request: SignedInRequest, found: Webhook, form: ReplayForm, status: int = 200) -> HttpResponse:
    page = selector.log_of(found, request.GET.get("page"))
    context = {
        "row": selector.one(found),
        "webhook": found,
        "replay": form,
        "page": page,
        "is_waiting": any(each.at is None for each in page.object_list),
        "both_until": found.previous_until if found.previous_until and found.previous_until > clock.now() else None,
    }
    return render(request, "approvals/webhooks/webhook.html", context, status=status)


def _secret(request: SignedInRequest, found: Webhook) -> HttpResponse:
    """Not a redirect: the secret is shown once."""
    context = {"webhook": found, "secret": selector.secrets_of(found, clock.now())[0]}
    answer = render(request, "approvals/webhooks/secret.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def _done(request: SignedInRequest, act: Callable[[], object], said: str, to: Webhook | str) -> HttpResponse:
    try:
        act()
    except WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, said)
    return redirect(to)
