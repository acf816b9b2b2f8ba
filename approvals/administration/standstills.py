"""What stops Countersign until a person says how it continues: another registry that answers, a ledger that was cut
off, and more missing from MLflow at once than is believed. Each is declared once, for the verb, the System page, its
address and the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals.administration.shared import POLICIES, record, require
from approvals.models import Action, AuditEvent, LedgerCut
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb
from mirror import identity, sync
from mirror.models import MirrorState


@dataclass(frozen=True, slots=True)
class Standstill:
    """`lift` ends it, for a person and a reason, and returns what the event tells; it raises Conflict where nothing
    stands still."""

    key: str
    """The last part of its address."""

    url_name: str
    action: Action
    lift: Callable[[User | None, str], dict[str, Any]]
    question: str
    button: str
    no_reason: str
    done: str

    @property
    def address(self) -> str:
        return f"approvals:{self.url_name}"


@verb()
def end_standstill(standstill: Standstill, *, by: User | None, reason: str) -> AuditEvent:
    """A person's word that it continues. `by` None: the command line. Raises NotAllowed, Invalid (no reason) or
    Conflict (nothing stands still)."""
    require(by, POLICIES)
    reason = reason.strip()
    if not reason:
        raise Invalid(f"{standstill.no_reason}; auditors read it.")
    told = standstill.lift(by, reason)
    return record(standstill.action, by, data={**told, "reason": reason})


def _accept(by: User | None, reason: str) -> dict[str, Any]:
    """The registry that answered and was refused is the one that is mirrored from now on."""
    # Locked, so that what is accepted is what was read here, and not what a worker refuses meanwhile.
    MirrorState.objects.select_for_update().filter(pk=1).first()
    refused = dict(MirrorState.objects.current().refused)
    if not refused:
        raise Conflict("There is no other registry to accept; the right one may have answered again.")
    before = identity.accept(refused)
    after = {key: refused[key] for key in ("key", "born_at", "address")}
    return {"before": before, "after": after, "found": refused["words"]}


def _acknowledge(by: User | None, reason: str) -> dict[str, Any]:
    """Continues with a ledger that ends before what MLflow knows of. What holds a place in MLflow now is taken as it
    is: reported where no one here approved it, and not put back."""
    cut = LedgerCut.objects.select_for_update().open().first()
    if cut is None:
        raise Conflict("The ledger is complete, or another person has acknowledged it already.")
    LedgerCut.objects.filter(pk=cut.pk).update(acknowledged_at=timezone.now(), acknowledged_by=by, reason=reason)
    MirrorState.objects.record(halt="")
    return {
        "ends_at": cut.sequence,
        "beyond_event": cut.beyond_sequence,
        "beyond_request": cut.beyond_request,
        "evidence": cut.evidence,
    }


def _confirm(by: User | None, reason: str) -> dict[str, Any]:
    """The next sweep asks MLflow for each missing model and version by name and number, and marks what it says does
    not exist."""
    missing = sync.confirm_missing()
    if not missing:
        raise Conflict("Nothing to confirm: MLflow lists it again, or another person confirmed it already.")
    return dict(missing)


REGISTRY = Standstill(
    key="registry",
    url_name="registry_accept",
    action=Action.REGISTRY_ACCEPTED,
    lift=_accept,
    question="Why is this registry mirrored from now on?",
    button="Mirror this registry",
    no_reason="Enter why another registry is mirrored from now on",
    done="The registry is accepted. The worker reads it within a minute.",
)
CUT_LEDGER = Standstill(
    key="ledger",
    url_name="cut_acknowledge",
    action=Action.CUT_ACKNOWLEDGED,
    lift=_acknowledge,
    question="Which backup was restored, and why?",
    button="Acknowledge and resume",
    no_reason="Enter which backup was restored and why",
    done="Acknowledged. Deliveries resume.",
)
DELETIONS = Standstill(
    key="deletions",
    url_name="deletions_confirm",
    action=Action.DELETIONS_CONFIRMED,
    lift=_confirm,
    question="Why is it missing from MLflow?",
    button="Confirm that it was deleted",
    no_reason="Enter why so much is missing from MLflow",
    done="Confirmed. The next sweep asks MLflow for each by name, and marks what is gone.",
)
STANDSTILLS = (DELETIONS, REGISTRY, CUT_LEDGER)
