"""The checklist of an installation's first day, for administrators: what is left to do before teams work with it. Asks
the database and the settings; and the mail server, when a person wants a test mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db.models import QuerySet, Value
from django.urls import reverse

from accounts.models import User
from approvals.models import FreezeWindow, Notification, PolicyVersion, Signing
from approvals.selectors import reviewers
from mirror import composed
from mirror.models import SetupCheck

REVIEWERS = 2
TARGET = "Production"
_TRIED = "first_day.mail"
_NOWHERE = ("console", "dummy", "locmem", "filebased", "NoMail")


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    is_done: bool
    words: str
    """What is so, or what to do."""

    action: str = ""
    url: str = ""
    sends_mail: bool = False
    """Its button sends a test mail."""


def concerns(person: User) -> bool:
    """Whether the person sets this installation up, and has not hidden the list."""
    return person.has_perm("accounts.manage_people") and not person.hides_first_day


def steps(person: User) -> Sequence[Step]:
    """In the order in which they are best done. Five queries."""
    return [_reviewers(), _policy(), _mail(person), _rights(), _checkpoints(), _freeze()]


def hide(person: User) -> None:
    """For this person, for good."""
    User.objects.filter(pk=person.pk).update(hides_first_day=True)


def send_test_mail(person: User) -> None:
    """To the person's own address. Raises OSError where the mail server does not answer or refuses it."""
    text = f"{settings.SITE_NAME} can send mail. People are notified when a request needs their review."
    EmailMessage(f"{settings.EMAIL_SUBJECT_PREFIX}Test mail", text, to=[person.email]).send()
    cache.set(_TRIED, True, timeout=None)


def _reviewers() -> Step:
    (able,) = composed.sums(_able)
    words = f"{min(able, REVIEWERS)} of {REVIEWERS}. Requesters never approve their own request: invite two or more."
    return Step("Reviewers invited", able >= REVIEWERS, words, "Invite people", reverse("approvals:person_invite"))


def _able() -> QuerySet[Any, Any]:
    people = User.objects.people().holding(reviewers.REVIEW).filter(is_service_account=False)
    able: QuerySet[Any, Any] = people.order_by().values("pk").annotate(one=Value(1))
    return able


def _policy() -> Step:
    saved = PolicyVersion.objects.filter(
        policy__target__name=TARGET, policy__retired_at=None, saved_by__isnull=False
    ).exists()
    words = "Saved." if saved else "The policy that came with the installation applies. Look at it and save your own."
    return Step(f"Policy for {TARGET}", saved, words, "Open policies", reverse("approvals:policies"))


def _mail(person: User) -> Step:
    if any(each in settings.EMAIL_BACKEND for each in _NOWHERE):
        return Step("Mail works", False, "No mail server is set. Set EMAIL_URL and restart.")
    mailed = Notification.objects.exclude(message_id="").filter(sent_at__isnull=False)
    is_done = bool(cache.get(_TRIED)) or mailed.exists()
    words = "The mail server has taken mail." if is_done else f"Not tried yet. A test mail goes to {person.email}."
    return Step("Mail works", is_done, words, "Send test mail", sends_mail=True)


def _rights() -> Step:
    last = SetupCheck.objects.filter(pk=1).values_list("is_good", flat=True).first()
    words = {
        None: "Not checked. Run manage.py check_mlflow.",
        False: "The service account lacks rights. System says which.",
        True: "The service account may do what Countersign needs.",
    }
    return Step("Rights in MLflow checked", bool(last), words[last], "Open System", reverse("system"))


def _checkpoints() -> Step:
    is_set = bool(Signing.objects.current().key)
    words = "The ledger is signed." if is_set else "Set COUNTERSIGN_CHECKPOINT_KEY for the worker, which signs with it."
    return Step("Checkpoint key", is_set, words, "Open ledger", reverse("approvals:ledger"))


def _freeze() -> Step:
    planned = FreezeWindow.objects.exists()
    words = "Planned." if planned else "Approved changes wait during a freeze, such as weekends or the end of the year."
    return Step("Freeze planned", planned, words, "Plan a freeze", reverse("approvals:freeze_new"))
