"""What machines do before review: freeze the evidence, run the checks, and move on when nothing stands
against the request. A failed check that blocks can be overridden, by a person and with a reason."""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from accounts import roles
from accounts.models import User
from approvals import checks, evidence, ledger, policy
from approvals.models import Action, Assessment, CheckResult, Outcome, PromotionRequest, Review, Status
from approvals.selectors import champions, frozen_evidence, request_state, reviewers
from approvals.workflow import approvals_count, locks
from approvals.workflow.shared import Invalid, move, require, store
from approvals.workflow.verbs import verb

BLOCKED = "Blocked by checks: "
FILES = "files"
"""Key of the check that every request gets: that the model's files could be read and hashed."""


@transaction.atomic
def conclude(request: PromotionRequest, *, problem: str = "") -> bool:
    """Freezes the evidence as the mirror has it, runs the checks over it, and asks people when nothing blocks or is
    waited for. `problem` says why the worker could not read the files. False when the request is not in checks (any
    more). Safe to call again: the same facts give the same results."""
    request = locks.lock_request(request)
    if request.status != Status.CHECKING:
        return False
    before = (request.fingerprint, request.status_reason)
    champion = champions.champion_for(request)
    fields = frozen_evidence.fields_now(request, champion)
    # What changed is told only where people may have seen it before.
    was_judged = Assessment.objects.filter(request=request, concluded_at__isnull=False).exists()
    changed = evidence.differences(request.evidence, fields["evidence"]) if was_judged else []
    store(request, **fields | frozen_evidence.in_todays_format(request, champion))
    voided = approvals_count.void_what_changed(request)[0]
    problem = problem or frozen_evidence.other_files(request)
    judge(request, problem=problem, before=before, changed=changed, voided=voided)
    return True


def judge(
    request: PromotionRequest,
    *,
    problem: str,
    before: tuple[str, str],
    changed: Sequence[str] = (),
    voided: Sequence[Review] = (),
) -> None:
    """Runs the checks over the evidence that was frozen just now, and moves on. In the caller's transaction, with the
    request locked. `problem` is what is wrong with the files, as a sentence; `before` fingerprint and reason as they
    were when the look began; `changed` and `voided` what the event tells. Raises Conflict as `advance` does."""
    rows = [*voided, *_run_checks(request, problem)]
    # The worker's look is done, whatever it found.
    Assessment.objects.filter(request=request).update(
        is_owed=False, claimed_by="", lease_expires_at=None, waiting_since=None, last_error="", attempts=0, failures=0
    )
    labels = [review.reviewer.label for review in voided]
    advance(request, before=before, told={"changed": [*changed], "voided": labels}, rows=rows)


def advance(
    request: PromotionRequest,
    *,
    before: tuple[str, str] = ("", ""),
    told: Mapping[str, Any] | None = None,
    rows: Sequence[Model] = (),
) -> None:
    """Asks people when no check is waited for and none blocks. In the caller's transaction, with the request locked;
    `rows` are what was written in it for which there is no event yet. Raises Conflict where it was not locked and
    a person was faster."""
    live = list(request.checks.live().order_by("position", "pk"))
    # The worker looks (again) first where the rule or the files are others than those that were checked.
    is_owed = Assessment.objects.filter(request=request, is_owed=True).exists()
    if is_owed or any(result.outcome == Outcome.WAITING for result in live):
        _seal(request, before, rows)
        return
    blocking = [result for result in live if result.blocks]
    # What people will be asked on is told in full: a check overridden later still shows what it found.
    told = {
        **(told or {}),
        "fingerprint": request.fingerprint,
        "asked": not blocking,
        "checks": [
            {"title": each.title, "effect": each.effect, "outcome": each.outcome, "reason": each.reason,
             "overridden": each.overridden_at is not None}
            for each in live
        ],
    }  # fmt: skip
    Assessment.objects.filter(request=request).update(concluded_at=timezone.now())
    # People are not asked; the page says why. The same block once more is nothing new to anybody.
    if blocking:
        reason = BLOCKED + "; ".join(f"{each.title} ({each.reason.rstrip('.')})" for each in blocking) + "."
        PromotionRequest.objects.filter(pk=request.pk).update(status_reason=reason)
        if (request.fingerprint, reason) != before:
            ledger.record(Action.REQUEST_CHECKED, actor=None, request=request, data=told, rows=rows)
        else:
            _seal(request, before, rows)
        return
    # Why it came back to review stays on the page; that checks blocked it does not.
    kept = "" if request.status_reason.startswith(BLOCKED) else request.status_reason
    move(request, Status.PENDING, status_reason=kept, sources=(Status.CHECKING,))
    ledger.record(Action.REQUEST_CHECKED, actor=None, request=request, data=told, rows=rows)
    approvals_count.count_approvals(request, by=None)


def _seal(request: PromotionRequest, before: tuple[str, str], rows: Sequence[Model]) -> None:
    """What was written while nothing happened that anybody has to be told."""
    if rows or request.fingerprint != before[0]:
        ledger.record(Action.ROWS_SEALED, actor=None, request=request, rows=rows)


# --- Running ----------------------------------------------------------------------------------------------------------


def _run_checks(request: PromotionRequest, problem: str) -> list[CheckResult]:
    """Stores what each check says now, and returns the rows that it wrote. A result that says the same as before stays,
    with its override; of an external check also while the evidence is the one it was asked about."""
    rule = policy.Rule.from_json(request.rule)
    frozen = json.loads(request.evidence)
    found: list[tuple[checks.Result, dict[str, Any]]] = [(_files_result(frozen, rule, problem), {})]
    ran = checks.run(rule.checks, frozen, today=timezone.now().date())
    found += [(result, dict(check.settings)) for result, check in zip(ran, rule.checks, strict=True)]
    earlier = {result.key: result for result in request.checks.live()}
    written: list[CheckResult] = []
    for position, (result, settings) in enumerate(found):
        old = earlier.pop(result.key, None)
        if old is not None and _says_the_same(old, result, settings, request.fingerprint):
            continue
        # Replaced, and never deleted: a person may have decided on it.
        if old is not None:
            request.checks.filter(pk=old.pk).update(replaced_at=timezone.now())
            written.append(old)
        made = row(request, position, result, settings)
        if result.outcome == Outcome.WAITING:  # for an external check
            made.token, made.next_attempt_at = secrets.token_urlsafe(32), timezone.now()
            made.deadline_at = made.next_attempt_at + timedelta(minutes=int(settings.get("deadline_minutes", 30)))
        made.save()
        written.append(made)
    # What the rule of a new submission does not ask for any more.
    gone = [result.pk for result in earlier.values()]
    request.checks.filter(pk__in=gone).update(replaced_at=timezone.now())
    return [*written, *earlier.values()]


def row(request: PromotionRequest, position: int, result: checks.Result, settings: dict[str, Any]) -> CheckResult:
    """What a check says about the evidence that the request has now; not saved."""
    return CheckResult(
        request=request,
        key=result.key,
        position=position,
        kind=result.kind,
        title=result.title,
        effect=result.effect,
        outcome=result.outcome,
        reason=result.reason,
        terms=settings,
        fingerprint=request.fingerprint,
    )


def _says_the_same(old: CheckResult, new: checks.Result, settings: dict[str, Any], fingerprint: str) -> bool:
    if old.kind == "external":
        # One that failed is asked again when the request is submitted again; unless a person overrode it.
        stands = old.outcome in (Outcome.PASS, Outcome.WAITING) or old.overridden_at is not None
        return stands and old.fingerprint == fingerprint and old.terms == settings and old.effect == new.effect
    return (old.outcome, old.reason, old.effect, old.title) == (new.outcome, new.reason, new.effect, new.title)


def _files_result(frozen: dict[str, Any], rule: policy.Rule, problem: str) -> checks.Result:
    title = "Model files are hashed"
    files = frozen["version"].get("files") or {}
    if problem:
        outcome, reason = Outcome.FAIL, problem
    elif files.get("count") == 0:
        outcome, reason = Outcome.FAIL, "MLflow lists no files for this version."
    elif "digest" in files:
        noun = "file" if files["count"] == 1 else "files"
        outcome, reason = Outcome.PASS, f"{files['count']:,} {noun}, {files['bytes']:,} bytes."
    elif rule.files_limit_mb is not None:
        reason = files.get("skipped") or "The policy does not ask for it."
        outcome = Outcome.WARN
    else:
        outcome, reason = Outcome.FAIL, files.get("skipped") or "The model's files have not been read."
    return checks.Result(key=FILES, kind=FILES, title=title, effect="block", outcome=outcome.value, reason=reason)


# --- Overriding -------------------------------------------------------------------------------------------------------


@verb()
def override(request: PromotionRequest, result: CheckResult, *, by: User, reason: str) -> None:
    """Lets the request continue in spite of one failed check; it is seen on the page and in the ledger ever after.
    Raises NotAllowed or Invalid (no reason, or the result does not block (any more))."""
    require(request_state.of(request, by).actions["override"])
    if not reason.strip():
        raise Invalid("Enter why it is right to continue despite the check.")
    found = request.checks.blocking().filter(pk=result.pk).first()
    if found is None:
        raise Invalid("This check does not block the request any more.")
    found.overridden_by, found.overridden_at, found.override_reason = by, timezone.now(), reason.strip()
    found.save(update_fields=["overridden_by", "overridden_at", "override_reason"])
    told = {"check": found.title, "found": found.reason, "reason": found.override_reason}
    ledger.record(Action.CHECK_OVERRIDDEN, actor=by, request=request, data=told, rows=[found])
    advance(request)


# --- External checks --------------------------------------------------------------------------------------------------


class Answered(Enum):
    """What became of an external check's answer."""

    RECORDED = auto()
    SAME = auto()
    """The same answer once more; nothing to do."""
    DIFFERENT = auto()
    """Another answer than the first, which counts."""
    TOO_LATE = auto()
    """The evidence is another by now, or the request is not in checks any more."""


@transaction.atomic
def answer_check(result: CheckResult, *, passed: bool, reason: str, said_by: str, by: User | None = None) -> Answered:
    """Takes an external check's answer and moves on when it was the last one. `said_by` is who says so: the check's
    name, or Countersign when the deadline is over; `by` the service account that reported it, if one did."""
    request = locks.lock_request(result.request)
    result = request.checks.get(pk=result.pk)
    outcome = Outcome.PASS if passed else Outcome.WARN if result.effect == "warn" else Outcome.FAIL
    if result.answered_at is not None:
        return Answered.SAME if result.outcome == outcome else Answered.DIFFERENT
    if result.replaced_at is not None or request.status != Status.CHECKING:
        return Answered.TOO_LATE
    CheckResult.objects.filter(pk=result.pk).update(
        outcome=outcome, reason=reason, answered_at=timezone.now(), next_attempt_at=None
    )
    told = {"check": result.title, "passed": passed, "reason": reason, "said_by": said_by}
    ledger.record(Action.CHECK_ANSWERED, actor=by, acting=said_by, request=request, data=told, rows=[result])
    advance(request)
    return Answered.RECORDED


@verb()
def report_check(request: PromotionRequest, result: CheckResult, *, by: User, passed: bool, reason: str) -> Answered:
    """A service account says what came of the external check that `result` waits for. Raises NotAllowed."""
    name = str(result.terms["name"])
    # A check may be called `requester`: a role is not given for it.
    groups = set(by.group_names) - roles.PERMISSIONS.keys()
    answer = policy.may_report_check(
        reviewers.actor_of(by), name, asks_as=by.asks_as, asked_by=request.asked_by, groups=groups
    )
    require(answer)
    return answer_check(result, passed=passed, reason=reason, said_by=name, by=by)


def store_attempt(result: CheckResult, *, problem: str, next_attempt_at: datetime | None) -> None:
    """Notes a call of an external check: what went wrong ("" when it took the call), and when the next one is due."""
    reason = problem or "It took the call and has not answered yet."
    CheckResult.objects.filter(pk=result.pk, outcome=Outcome.WAITING).update(
        reason=reason, next_attempt_at=next_attempt_at, called_at=timezone.now()
    )
