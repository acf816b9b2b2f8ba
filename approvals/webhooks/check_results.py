"""What external checks say: posted to the callback as the answer to a call, or reported by a service account."""

import json
from collections.abc import Mapping
from datetime import datetime

import structlog

from accounts.models import User
from approvals import workflow
from approvals.assessment.external_calls import give_up, terms_of
from approvals.checks import external, signing
from approvals.models import CheckResult, Outcome
from approvals.webhooks.reply import Reply, Verdict
from approvals.workflow import Answered

logger = structlog.get_logger(__name__)


def receive(token: str, body: bytes, headers: Mapping[str, str], *, now: datetime) -> Reply:
    """Takes what was posted for the check that `token` names. Whatever is not signed with its secret, of now, and about
    the evidence that it was asked about changes nothing."""
    result = CheckResult.objects.filter(token=token).exclude(token="").first()
    if result is None:
        return Reply(Verdict.UNKNOWN, "No check waits here.")
    name = terms_of(result)["name"]
    if problem := signing.verify(headers, body, signing.secret_for(name), now=now):
        return Reply(Verdict.UNSIGNED, problem)
    said = external.verdict(body)
    if said.passed is None:
        return Reply(Verdict.UNREADABLE, said.problem)
    if json.loads(body).get("fingerprint") != result.fingerprint:
        # One secret serves every request, so that an answer for one could be posted for another.
        return Reply(Verdict.REFUSED, OF_OTHER_EVIDENCE)
    _give_up_if_late(result, now)
    became = workflow.answer_check(result, passed=said.passed, reason=said.reason, said_by=name)
    logger.info("check.answered", check=result.pk, request=result.request_id, passed=said.passed, became=became.name)
    return _REPLIES[became]


def report(result: CheckResult, *, by: User, passed: bool, reason: str, fingerprint: str, now: datetime) -> str:
    """What a service account says of a check, about the evidence with this fingerprint; returns what became of it, as a
    sentence. Raises NotAllowed, or Conflict: it is about other evidence, too late, or another answer counts."""
    request = result.request
    if fingerprint != result.fingerprint:
        raise workflow.Conflict(OF_OTHER_EVIDENCE, request, code="evidence_changed")
    _give_up_if_late(result, now)
    cleaned = external.reason(reason)
    became = workflow.report_check(request, result, by=by, passed=passed, reason=cleaned)
    logger.info("check.reported", check=result.pk, request=request.pk, passed=passed, became=became.name)
    reply = _REPLIES[became]
    if reply.verdict != Verdict.TAKEN:
        code = "already_answered" if became == Answered.DIFFERENT else "too_late"
        raise workflow.Conflict(reply.words, request, code=code)
    return reply.words


def _give_up_if_late(result: CheckResult, now: datetime) -> None:
    if result.outcome == Outcome.WAITING and result.deadline_at is not None and result.deadline_at <= now:
        give_up(result)


OF_OTHER_EVIDENCE = "The answer's fingerprint is not that of the evidence that was asked about."
_REPLIES = {
    Answered.RECORDED: Reply(Verdict.TAKEN, "The answer is recorded."),
    Answered.SAME: Reply(Verdict.TAKEN, "The answer was recorded already."),
    Answered.DIFFERENT: Reply(Verdict.REFUSED, "Another answer was recorded before, and counts."),
    Answered.TOO_LATE: Reply(Verdict.REFUSED, "The request does not wait for this answer any more."),
}
