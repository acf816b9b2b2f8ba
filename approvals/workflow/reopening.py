"""Back to review when the content changed, and only then: sign-offs stay where nothing that their slot looks at has."""

from collections.abc import Collection, Iterable

from django.db import transaction
from django.db.models import Model

from approvals import evidence, ledger
from approvals.models import Action, Assessment, PromotionRequest, Status
from approvals.selectors import champions, frozen_evidence
from approvals.workflow import approvals_count, check_results, locks, outbox
from approvals.workflow.shared import move, store


@transaction.atomic
def reopen(
    request: PromotionRequest,
    *,
    sources: Collection[Status] = (Status.PENDING,),
    cause: str = "",
    rows: Iterable[Model] = (),
) -> list[str]:
    """Sends a request whose evidence is no longer what the mirror has back through the checks; returns what changed,
    each as a few words ([]: nothing, or the request is not in one of `sources`).

    `cause` is delivery's own sentence, `rows` what else the event records. The checks run at once where only facts
    changed; where the version points at other files, the worker reads them first. Kept approvals may complete the
    request again. Raises Conflict when `sources` has a status from which `MOVES` does not lead back to the checks.
    """
    locked = locks.lock_request(request)
    if locked.status not in sources:
        return []
    champion = champions.champion_for(locked)
    fields = frozen_evidence.fields_now(locked, champion)
    if fields["fingerprint"] == locked.fingerprint:
        return []
    # What changed is told before the move writes it over.
    changed = evidence.differences(locked.evidence, fields["evidence"])
    parts = evidence.changed_parts(locked.parts, fields["parts"])
    before = locked.fingerprint
    reason = cause or f"This changed in MLflow since the request: {frozen_evidence.listed(changed)}."
    move(locked, Status.CHECKING, status_reason=reason, **fields)
    # Sign-offs go where a slot looks at what changed, and nowhere else.
    voided, kept = approvals_count.void_what_changed(locked)
    ledger.record(
        Action.REQUEST_REOPENED,
        actor=None,
        request=locked,
        data={
            "reason": reason,
            "changed": changed,
            "parts": sorted(parts),
            "voided": [review.reviewer.label for review in voided],
            "kept": kept,
            "fingerprint_before": before,
            "fingerprint": locked.fingerprint,
        },
        rows=[*voided, *rows],
    )
    if "request" in parts:
        # Other files or another rule: the worker has to read them first.
        Assessment.objects.owe(locked)
        outbox.hint_assessment(locked)
    else:
        began_as = (locked.fingerprint, locked.status_reason)
        anew = frozen_evidence.in_todays_format(locked, champion)
        problem = frozen_evidence.other_files(locked)
        store(locked, **anew)
        check_results.judge(locked, problem=problem, before=began_as)
    request.refresh_from_db()
    return changed
