"""Signing the ledger's head, and having the worker verify it all. The only writer of Checkpoint and Verification."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from approvals import ledger
from approvals.administration.shared import CHECKPOINT, HISTORY, record, require
from approvals.ledger import chain, notes
from approvals.models import Action, ChainHead, Checkpoint, Verification
from approvals.models.checkpoints import SILENT
from approvals.workflow import Conflict, Invalid, outbox, verbs
from approvals.workflow.verbs import verb

# --- Checkpoints ------------------------------------------------------------------------------------------------------


def take_checkpoint(*, by: User | None) -> Checkpoint:
    """Signs the head and returns the checkpoint; the last one again when nothing was recorded since. The first one with
    another key is preceded by an event that says so.

    Raises NotAllowed, or Invalid: there is no key, or the chain does not continue from the last checkpoint, which was
    altered or is not signed with a trusted key. Such a head is never signed. `by` None: schedule or command line.
    """
    require(by, CHECKPOINT)
    if not settings.CHECKPOINT_KEY:
        raise Invalid("There is no signing key: set COUNTERSIGN_CHECKPOINT_KEY.")
    reached = _follow(_trusted_end())  # the long way without a lock that others would wait for
    with transaction.atomic():
        # Asked again: following the chain takes long, and the role may be gone by now.
        require(verbs.lock_people([by])[by.pk] if by else None, CHECKPOINT)
        ChainHead.objects.select_for_update().get(pk=1)
        last, key = Checkpoint.objects.order_by("-number").first(), notes.own_key()
        if last and last.key != key:
            record(Action.KEY_CHANGED, by, data={"before": last.key, "after": key})
        # What was recorded meanwhile, the event of the key among it. Nothing more is while the head is locked.
        reached = _follow(reached)
        if last and last.key == key and (last.sequence, last.hash) == (reached.sequence, reached.hash):
            return last
        number, now = (last.number if last else 0) + 1, timezone.now()
        text = notes.sign(number, reached, now)
        return Checkpoint.objects.create(
            number=number, sequence=reached.sequence, hash=reached.hash, at=now, key=key, text=text
        )


def checkpoint_if_due() -> int | None:
    """For the schedule: the number of the newest checkpoint; None without a key. Raises as `take_checkpoint`."""
    return take_checkpoint(by=None).number if settings.CHECKPOINT_KEY else None


def _trusted_end() -> ledger.Link:
    last = Checkpoint.objects.order_by("-number").first()
    if last is None:
        return chain.BEGINNING
    try:
        (note,) = notes.read(last.text)
    except (notes.BadNote, ValueError) as error:
        raise Invalid(f"Nothing was signed. {error}") from error
    end = ledger.Link(note.sequence, note.hash)
    if not chain.has(end):
        raise Invalid(f"Nothing was signed: event {end.sequence} is not the one of checkpoint {last.number} any more.")
    return end


def _follow(since: ledger.Link) -> ledger.Link:
    reached, fault = chain.verify(since)
    if fault:
        raise Invalid(f"Nothing was signed. {fault.problem}")
    return reached


# --- Verification -----------------------------------------------------------------------------------------------------


@verb()
def ask_to_verify(*, by: User) -> Verification:
    """Asks the worker to verify the ledger. Raises NotAllowed, or Conflict: it is asked or at it already."""
    require(by, HISTORY)
    try:
        with transaction.atomic():
            asked = Verification.objects.create(asked_by=by)
    except IntegrityError as error:
        raise Conflict("A verification is already running.") from error
    outbox.hint_verification()
    return asked


def verify_if_due() -> str:
    """The worker's part: runs what was asked for, or what the schedule asks for. Returns "intact", "broken", or
    "nothing due"."""
    run = _claim()
    if run is None:
        return "nothing due"
    # While it is open: who was silent for too long may come back when another worker has ended the run.
    mine = Verification.objects.filter(pk=run.pk, ended_at=None)

    def show(events: int) -> None:
        mine.update(events=events, seen_at=timezone.now())

    def tell(doing: str) -> None:
        mine.update(doing=doing, seen_at=timezone.now())

    verdict = ledger.verify(show, with_references=True, with_anchors=True, doing=tell)
    mine.update(
        ended_at=timezone.now(),
        events=verdict.events,
        doing="",
        head=verdict.head,
        problem=verdict.problem,
        remarks="\n".join(verdict.remarks),
        first_bad=verdict.first_bad,
    )
    return "intact" if verdict.is_intact else "broken"


def _claim() -> Verification | None:
    """The open run, unless another worker is at it; a new one when the last one was too long ago."""
    now = timezone.now()
    if not Verification.objects.open().exists():
        last = Verification.objects.done().first()
        if last and last.ended_at and (now - last.ended_at).total_seconds() < settings.VERIFY_SECONDS:
            return None
        try:
            with transaction.atomic():
                Verification.objects.create()
        except IntegrityError:  # another worker was faster
            return None
    free = Verification.objects.open().filter(Q(seen_at=None) | Q(seen_at__lt=now - SILENT))
    run = free.first()
    return run if run and free.filter(pk=run.pk).update(seen_at=now, events=0, doing="") else None
