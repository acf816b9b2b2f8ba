"""The ledger's proof of itself: when it was last verified and with what result, checkpoints, and what an auditor takes
away."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals import administration
from approvals.ledger import notes, standalone
from approvals.models import Checkpoint, Verification
from approvals.selectors import history as queries
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest, tell
from approvals.workflow import WorkflowError
from components.times import in_utc

SHOWN = 10
"""Verifications and checkpoints on the page, the newest; the download has every checkpoint."""


@require_safe
@needs(administration.HISTORY)
@in_utc
def ledger(request: SignedInRequest) -> HttpResponse:
    return _page(request)


def _page(request: SignedInRequest, *, status: int = 200) -> HttpResponse:
    chain = queries.head()
    context = {
        "progress": Progress.now(),
        "chain": chain,
        "unsigned_head": f"{chain.sequence}:{chain.hash}",
        "verifications": Verification.objects.done().select_related("asked_by")[:SHOWN],
        "checkpoints": Checkpoint.objects.order_by("-number")[:SHOWN],
        "own_key": notes.own_key(),
        "earlier_keys": [key for key in settings.CHECKPOINT_PUBLIC_KEYS if key != notes.own_key()],
        "may_sign": administration.may(request.user, administration.CHECKPOINT),
        "may_export": administration.may(request.user, administration.EXPORT),
    }
    return render(request, "approvals/ledger/ledger.html", context, status=status)


@require_safe
@needs(administration.HISTORY)
@in_utc
def state(request: SignedInRequest) -> HttpResponse:
    """The part of the page that follows the worker; at the end 286, which tells HTMX to stop asking, and to load the
    page anew: the banner and the table below have changed as well."""
    now = Progress.now()
    answer = render(request, "approvals/ledger/_state.html", {"progress": now}, status=200 if now.run else 286)
    if now.run is None:
        answer["HX-Refresh"] = "true"
    return answer


@dataclass(frozen=True, slots=True)
class Progress:
    run: Verification | None
    """The one that is asked for or under way."""

    last: Verification | None
    total: int
    """Events in the ledger."""

    @classmethod
    def now(cls) -> "Progress":
        run = Verification.objects.open().select_related("asked_by").first()
        return cls(run, Verification.objects.done().first(), queries.head().sequence)


@require_POST
@needs(administration.HISTORY)
def verify(request: SignedInRequest) -> HttpResponse:
    try:
        administration.ask_to_verify(by=request.user)
    except WorkflowError as error:
        return _page(request, status=tell(request, error))
    return redirect("approvals:ledger")


@require_POST
@needs(administration.CHECKPOINT)
def checkpoint(request: SignedInRequest) -> HttpResponse:
    try:
        taken = administration.take_checkpoint(by=request.user)
    except WorkflowError as error:
        return _page(request, status=tell(request, error))
    messages.success(request, f"Checkpoint {taken.number} is signed, at event {taken.sequence:,}.")
    return redirect("approvals:ledger")


@require_safe
@needs(administration.HISTORY)
@in_utc
def checkpoints(request: SignedInRequest) -> HttpResponseBase:
    """All checkpoints, oldest first, as the verifier takes them."""
    headers = {"Content-Disposition": 'attachment; filename="countersign-checkpoints.txt"'}
    return StreamingHttpResponse(_texts(), content_type="text/plain; charset=utf-8", headers=headers)


def _texts() -> Iterator[str]:
    for text in Checkpoint.objects.order_by("number").values_list("text", flat=True).iterator(chunk_size=2000):
        yield f"{text}\n"


@require_safe
@needs(administration.HISTORY)
@in_utc
def verifier(request: SignedInRequest) -> HttpResponse:
    """The stand-alone verifier, one file."""
    headers = {"Content-Disposition": 'attachment; filename="verifier.py"'}
    source = Path(standalone.__file__).read_text(encoding="utf-8")
    return HttpResponse(source, content_type="text/x-python; charset=utf-8", headers=headers)
