"""The ledger's proof of itself: when it was last verified and with what result, checkpoints, and what an auditor takes
away."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals import administration
from approvals.ledger import standalone
from approvals.models import Checkpoint, Signing, Verification
from approvals.models.checkpoints import SILENT
from approvals.selectors import history as queries
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest, tell
from approvals.workflow import WorkflowError
from components.times import in_utc
from mirror import clock

SHOWN = 10
"""Verifications and checkpoints on the page, the newest; the download has every checkpoint."""


UNUSUAL = timedelta(minutes=1)
"""Without a report for so long, the page says so."""


@require_safe
@needs(administration.HISTORY)
@in_utc
def ledger(request: SignedInRequest) -> HttpResponse:
    return _page(request)


def _page(request: SignedInRequest, *, status: int = 200) -> HttpResponse:
    chain, now = queries.head(), Progress.now()
    own_key = now.signing.key
    context = {
        "progress": now,
        "chain": chain,
        "unsigned_head": f"{chain.sequence}:{chain.hash}",
        "verifications": Verification.objects.done().select_related("asked_by")[:SHOWN],
        "checkpoints": Checkpoint.objects.order_by("-number")[:SHOWN],
        "own_key": own_key,
        "earlier_keys": [key for key in settings.CHECKPOINT_PUBLIC_KEYS if key != own_key],
        "may_sign": administration.may(request.user, administration.CHECKPOINT),
        "may_export": administration.may(request.user, administration.EXPORT),
    }
    return render(request, "approvals/ledger/ledger.html", context, status=status)


@require_safe
@needs(administration.HISTORY)
@in_utc
def state(request: SignedInRequest) -> HttpResponse:
    """The part of the page that follows the worker; at the end 286, which tells HTMX to stop asking, and to load the
    page anew: the banner and the tables below have changed as well."""
    now = Progress.now()
    answer = render(request, "approvals/ledger/_state.html", {"progress": now}, status=200 if now.is_live else 286)
    if not now.is_live:
        answer["HX-Refresh"] = "true"
    return answer


@dataclass(frozen=True, slots=True)
class Progress:
    run: Verification | None
    """The one that is asked for or under way."""

    last: Verification | None
    signing: Signing
    total: int
    """Events in the ledger."""

    takes_over: ClassVar[int] = SILENT // timedelta(minutes=1)

    @classmethod
    def now(cls) -> "Progress":
        run = Verification.objects.open().select_related("asked_by").first()
        signing, last = Signing.objects.current(), Verification.objects.done().first()
        return cls(run, last, signing, queries.head().sequence)

    @property
    def is_live(self) -> bool:
        """Whether the worker is asked for something, so that the page has something to follow."""
        return self.run is not None or self.signing.wanted_at is not None

    @property
    def is_silent(self) -> bool:
        """Whether the worker has not been heard of for so long that it may have ended."""
        return bool(self.run and self.run.seen_at and clock.now() - self.run.seen_at > UNUSUAL)

    @property
    def is_signing_late(self) -> bool:
        wanted_at = self.signing.wanted_at
        return wanted_at is not None and clock.now() - wanted_at > UNUSUAL


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
        administration.ask_to_sign(by=request.user)
    except WorkflowError as error:
        return _page(request, status=tell(request, error))
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
