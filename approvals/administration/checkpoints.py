"""Signing the ledger's head and verifying it all, by the worker. The only writer of Checkpoint, Signing and
Verification."""

import time

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.models import User
from approvals import ledger
from approvals.administration.shared import CHECKPOINT, HISTORY, record, require
from approvals.ledger import chain, notes
from approvals.models import Action, ChainHead, Checkpoint, Signing, Verification
from approvals.models.checkpoints import SILENT
from approvals.workflow import Conflict, Invalid, WorkflowError, outbox, verbs
from approvals.workflow.verbs import verb
from mirror import clock

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
    try:
        trusted = trusted_end()
    except Invalid as error:
        raise Invalid(f"Nothing was signed. {error.message}") from error
    reached = _follow(trusted)  # the long way without a lock that others would wait for
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
        number, now = (last.number if last else 0) + 1, clock.now()
        text = notes.sign(number, reached, now)
        return Checkpoint.objects.create(
            number=number, sequence=reached.sequence, hash=reached.hash, at=now, key=key, text=text
        )


def checkpoint_if_due() -> int | None:
    """For the schedule: the number of the newest checkpoint; None without a key. Raises as `take_checkpoint`."""
    return take_checkpoint(by=None).number if settings.CHECKPOINT_KEY else None


@verb()
def ask_to_sign(*, by: User) -> None:
    """Asks the worker, who alone has the key, to sign the head; who asks while it is asked already waits for the same
    one. Raises NotAllowed, or Invalid: no worker has a key."""
    require(by, CHECKPOINT)
    if not Signing.objects.current().key:
        raise Invalid("No worker has a signing key: set COUNTERSIGN_CHECKPOINT_KEY for it.")
    Signing.objects.filter(pk=1, wanted_at=None).update(wanted_at=clock.now(), wanted_by=by, problem="")
    outbox.hint_signing()


def sign_if_wanted() -> int | None:
    """The worker's part: says with which key it signs, and signs what is wanted. Returns the number of the checkpoint;
    None when nothing was wanted or signed."""
    asked, key = Signing.objects.current(), notes.own_key()
    if asked.key != key:
        Signing.objects.update_or_create(pk=1, defaults={"key": key})
    if asked.wanted_at is None:
        return None
    number, problem = None, ""
    try:
        # The person's permission is asked for again: the role may be gone by now.
        number = take_checkpoint(by=asked.wanted_by).number
    except WorkflowError as error:
        problem = error.message
    Signing.objects.filter(pk=1, wanted_at=asked.wanted_at).update(wanted_at=None, wanted_by=None, problem=problem)
    return number


def trusted_end() -> ledger.Link:
    """The event that the newest checkpoint signs; the beginning where there is none. Raises Invalid: the checkpoint was
    altered, is not signed with a trusted key, or is of an event that is not there any more."""
    last = Checkpoint.objects.order_by("-number").first()
    if last is None:
        return chain.BEGINNING
    try:
        (note,) = notes.read(last.text)
    except (notes.BadNote, ValueError) as error:
        raise Invalid(str(error)) from error
    end = ledger.Link(note.sequence, note.hash)
    if not chain.has(end):
        raise Invalid(f"Event {end.sequence} is not the one of checkpoint {last.number} any more.")
    return end


def _follow(since: ledger.Link) -> ledger.Link:
    reached, fault = chain.verify(since)
    if fault:
        raise Invalid(f"Nothing was signed. {fault.problem}")
    return reached


# --- Verification -----------------------------------------------------------------------------------------------------


TELLS_EVERY = 0.5
"""Seconds between two reports: the page asks every second."""


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
    told, told_at, reached = "", 0.0, 0

    def show(events: int) -> None:
        nonlocal reached
        reached = events
        report(told)

    def report(doing: str) -> None:
        nonlocal told, told_at
        if doing != told or time.monotonic() - told_at >= TELLS_EVERY:
            mine.update(events=reached, doing=doing, seen_at=clock.now())
            told, told_at = doing, time.monotonic()

    # Who asks gets the quick answer; the schedule takes no one's word for a hash. What was found to be broken is never
    # intact again on the database's word.
    last = Verification.objects.done().first()
    first_pass = run.asked_by_id is not None and not (last and last.problem)
    verdict = ledger.verify(show, with_references=True, with_anchors=True, doing=report, first_pass=first_pass)
    mine.update(
        ended_at=clock.now(),
        events=verdict.events,
        doing="",
        head=verdict.head,
        was_in_database=verdict.in_database,
        problem=verdict.problem,
        remarks="\n".join(verdict.remarks),
        first_bad=verdict.first_bad,
    )
    return "intact" if verdict.is_intact else "broken"


def _claim() -> Verification | None:
    """The open run, unless another worker is at it; a new one when the last in which every hash was computed here was
    too long ago, however often people asked meanwhile."""
    now = clock.now()
    if not Verification.objects.open().exists():
        last = Verification.objects.done().filter(was_in_database=False).first()
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
