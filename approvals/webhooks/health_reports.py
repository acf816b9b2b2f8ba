"""Health reports of versions on probation: what anyone who watches them posts, signed, to the address that names the
probation. Takes what is rightly signed to `workflow.report_health`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.conf import settings
from django.urls import reverse

from approvals import workflow
from approvals.checks import signing
from approvals.models import Probation
from approvals.webhooks.reply import Reply, Verdict
from approvals.workflow import Reported

logger = structlog.get_logger(__name__)

MOST_BYTES = 16 * 1024
LONGEST_REASON, LONGEST_NAME, LONGEST_ID = 2000, 120, 200
PURPOSE = "countersign.health-report"


@dataclass(frozen=True, slots=True)
class Report:
    is_healthy: bool
    reason: str
    reported_by: str


def secret_for(model_name: str) -> str:
    """The secret that reports about this model are signed with: one per model, so that anyone who watches one cannot
    speak about another. Derived, not stored."""
    return signing.secret_for(model_name, purpose=PURPOSE)


def address_of(probation: Probation) -> str:
    """Where reports go, as a full address."""
    return f"{settings.SITE_URL}{reverse('approvals:health_callback', args=[probation.token])}"


def receive(token: str, body: bytes, headers: Mapping[str, str], *, now: datetime) -> Reply:
    """Takes what was posted. Whatever is not signed with the model's secret, of now, changes nothing."""
    found = Probation.objects.select_related("request__version__model").filter(token=token).first()
    if found is None:
        return Reply(Verdict.UNKNOWN, "No version on probation is reported on here.")
    if problem := signing.verify(headers, body, secret_for(found.request.version.model.name), now=now):
        return Reply(Verdict.UNSIGNED, problem)
    report, problem = read(body)
    if report is None:
        return Reply(Verdict.UNREADABLE, problem)
    became = workflow.report_health(
        found,
        is_healthy=report.is_healthy,
        reason=report.reason,
        reported_by=report.reported_by,
        message_id=(headers.get("webhook-id") or "")[:LONGEST_ID],
    )
    logger.info("health.reported", request=found.request_id, healthy=report.is_healthy, became=became.name)
    if became == Reported.RECORDED and not report.is_healthy:
        return Reply(Verdict.TAKEN, "The report is recorded, and the probation ends with it.")
    return _REPLIES[became]


_REPLIES = {
    Reported.RECORDED: Reply(Verdict.TAKEN, "The report is recorded."),
    Reported.SAME: Reply(Verdict.TAKEN, "The report was recorded already."),
    Reported.TOO_MANY: Reply(Verdict.TOO_MANY, "There are too many reports on this version; a bad one is still taken."),
    Reported.OVER: Reply(Verdict.REFUSED, "This version is not on probation any more."),
}


def read(body: bytes) -> tuple[Report | None, str]:
    """The report, or what is wrong with it in a sentence."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None, "A report is a JSON object."
    if not isinstance(said, dict) or not isinstance(said.get("healthy"), bool):
        return None, 'A report is a JSON object with "healthy": true or false.'
    reason, reported_by = said.get("reason", ""), said.get("reported_by", "")
    if not isinstance(reason, str) or not isinstance(reported_by, str):
        return None, '"reason" and "reported_by" are text.'
    if not said["healthy"] and not reason.strip():
        return None, 'A report that is not healthy says why, in "reason".'
    name = _plain(reported_by)[:LONGEST_NAME] or "Health report"
    return Report(said["healthy"], _plain(reason)[:LONGEST_REASON], name), ""


def _plain(text: str) -> str:
    """One line that every database and every page can hold."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
