"""What stops Countersign from writing to MLflow until a person says so: another registry that answers, and a ledger
that was cut off."""

from django.utils import timezone

from accounts.models import User
from approvals.administration.shared import POLICIES, record, require
from approvals.models import Action, AuditEvent, LedgerCut
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb
from mirror import identity
from mirror.models import MirrorState


@verb()
def accept_registry(*, by: User | None, reason: str) -> AuditEvent:
    """The registry that answered and was refused is the one that is mirrored from now on. `by` None: the command line.
    Raises NotAllowed, Invalid (no reason) or Conflict (none was refused)."""
    require(by, POLICIES)
    if not reason.strip():
        raise Invalid("Say why another registry is mirrored from now on: the auditors will read it.")
    # Locked, so that what is accepted is what was read here, and not what a worker refuses meanwhile.
    MirrorState.objects.select_for_update().filter(pk=1).first()
    refused = dict(MirrorState.objects.current().refused)
    if not refused:
        raise Conflict("No other registry has answered, or the right one does again.")
    before = identity.accept(refused)
    after = {key: refused[key] for key in ("key", "born_at", "address")}
    told = {"before": before, "after": after, "found": refused["words"], "reason": reason.strip()}
    return record(Action.REGISTRY_ACCEPTED, by, data=told)


@verb()
def acknowledge_cut(*, by: User | None, reason: str) -> AuditEvent:
    """Goes on with a ledger that ends before what MLflow knows of. What holds a place in MLflow now is taken as it is:
    reported where nobody here approved it, and not put back. Raises NotAllowed, Invalid (no reason) or Conflict (it is
    not cut off, or acknowledged already)."""
    require(by, POLICIES)
    if not reason.strip():
        raise Invalid("Say which backup was restored and why: the auditors will read it.")
    cut = LedgerCut.objects.select_for_update().open().first()
    if cut is None:
        raise Conflict("The ledger is not cut off, or somebody has acknowledged it already.")
    LedgerCut.objects.filter(pk=cut.pk).update(
        acknowledged_at=timezone.now(), acknowledged_by=by, reason=reason.strip()
    )  # fmt: skip
    MirrorState.objects.record(halt="")
    told = {
        "ends_at": cut.sequence,
        "beyond_event": cut.beyond_sequence,
        "beyond_request": cut.beyond_request,
        "evidence": cut.evidence,
        "reason": reason.strip(),
    }
    return record(Action.CUT_ACKNOWLEDGED, by, data=told)
