"""Approving several requests of the queue at once: a table of what each is, and one button."""

from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import reauthentication
from approvals import policy, workflow
from approvals.models import PromotionRequest
from approvals.selectors import together
from approvals.views import queue_place
from approvals.views.shared import SignedInRequest
from approvals.workflow import BatchRefused, Picked


@require_http_methods(["GET", "HEAD", "POST"])
def several(request: SignedInRequest) -> HttpResponse:
    """The table of one target, `?target=`, else of the one with most requests; all are ticked."""
    place = queue_place.of_query(request.GET)
    refusals: dict[int, str] = {}
    problem, status = "", 200
    picked = _picked(request)
    if request.method == "POST":
        proof = reauthentication.last_proof(request)
        try:
            signed = workflow.approve_together(picked, by=request.user, proof=policy.Proof(*proof) if proof else None)
        except BatchRefused as error:
            refusals, problem, status = error.refusals, error.message, error.status
        except workflow.WorkflowError as error:
            problem, status = error.message, error.status
        else:
            messages.success(request, _words([each.request for each in signed]))
            done = min(place.done + len(signed), queue_place.MOST_DONE)
            return redirect(replace(place, done=done).address())
    everywhere = replace(place.wanted, target="")
    choices = together.choices(request.user, everywhere)
    chosen = next(
        (each for each in choices if each.target.name == place.wanted.target), choices[0] if choices else None
    )
    lines = together.lines(request.user, everywhere, chosen.target, now=timezone.now()) if chosen else []
    shown = [replace(line, refusal=refusals.get(line.row.request.pk, "")) for line in lines]
    in_table = {line.row.request.pk for line in shown}
    ticked = {each.request.pk for each in picked} if request.method == "POST" else in_table
    context = {
        "queue_url": place.address(),
        "choices": choices,
        "chosen": chosen,
        "lines": shown,
        "ticked": ticked,
        "problem": problem,
        # Of requests that are in the table no more: they were decided meanwhile.
        "gone": [(each.request, refusals[each.request.pk]) for each in picked if _is_gone(each, in_table, refusals)],
    }
    return render(request, "approvals/queue/together.html", context, status=status)


def _is_gone(each: Picked, in_table: set[int], refusals: dict[int, str]) -> bool:
    return each.request.pk in refusals and each.request.pk not in in_table


def _picked(request: SignedInRequest) -> list[Picked]:
    """The requests that were ticked, with what the page said of each."""
    numbers = [
        int(text) for text in request.POST.getlist("pick") if text.isascii() and text.isdigit() and len(text) < 18
    ]
    found = PromotionRequest.objects.with_subject().filter(pk__in=numbers).order_by("pk")
    return [
        Picked(each, request.POST.get(f"fingerprint-{each.pk}", ""), request.POST.get(f"effect-{each.pk}", ""))
        for each in found
    ]


def _words(requests: list[PromotionRequest]) -> str:
    names = [f"{each.version.model.name} v{each.version.number}" for each in requests]
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} requests approved together: {listed}. "
