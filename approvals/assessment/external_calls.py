"""The worker's part of external checks: calling those that are due, and taking what is posted to the callback.

Which calls are due is in the database (`CheckResult.next_attempt_at`), so a killed worker, a lost answer and a lost
hint end alike: it is called again, and when its time is over the check has failed.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from approvals import checks, workflow
from approvals.checks import external, signing
from approvals.models import CheckResult, Outcome, Status
from mirror.isolation import alone

logger = structlog.get_logger(__name__)

AT_ONCE = 8
"""Calls under way at a time: one that hangs holds up no one else's."""

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)
LEASE = timedelta(seconds=60)
"""Beside the time that a call may take: after it, a call whose worker was killed is due again."""

COUNTERSIGN = "Countersign"


def due(now: datetime) -> QuerySet[CheckResult]:
    """Those that wait, of requests that are in checks, whose next call or whose deadline has come."""
    waiting = CheckResult.objects.live().filter(kind=external.KIND.key, outcome=Outcome.WAITING)
    found = waiting.filter(request__status=Status.CHECKING, next_attempt_at__lte=now)
    return found.select_related("request__version__model", "request__target").order_by("next_attempt_at", "pk")


def call_due(now: datetime | None = None, *, clock: Callable[[], datetime] = timezone.now) -> int:
    """Makes the calls that are due and stores what came of them; gives up those whose time is over. Returns how many
    were looked at. Several workers may do it at once: each call is claimed by one."""
    now = now or clock()
    looked_at = 0
    calls: list[tuple[CheckResult, dict[str, Any]]] = []
    for result in due(now)[: AT_ONCE * 4]:
        with alone("check.not_called", check=result.pk, request=result.request_id):
            if result.deadline_at is not None and result.deadline_at <= now:
                give_up(result)
                looked_at += 1
            elif len(calls) < AT_ONCE and _claim(result, now):
                calls.append((result, _call(result)))
    if not calls:
        return looked_at
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:  # they use the network alone, not the database
        under_way = {pool.submit(external.call, **call, clock=clock): result for result, call in calls}
        for done in as_completed(under_way):
            result = under_way[done]
            with alone("check.answer_not_stored", check=result.pk, request=result.request_id):
                _store(result, done.result(), clock())
    return looked_at + len(calls)


def give_up(result: CheckResult) -> None:
    minutes = terms_of(result)["deadline_minutes"]
    reason = f"It did not answer within {minutes} {'minute' if minutes == 1 else 'minutes'}."
    if result.called_at is not None and result.reason:
        reason = f"{reason} {result.reason}"
    workflow.answer_check(result, passed=False, reason=reason, said_by=COUNTERSIGN)


def terms_of(result: CheckResult) -> dict[str, Any]:
    """The check's settings with the defaults of its kind."""
    return checks.validate(external.KIND.key, result.terms)[0]


def _claim(result: CheckResult, now: datetime) -> bool:
    """One conditional UPDATE, whose row count tells who won."""
    lease = LEASE + timedelta(seconds=terms_of(result)["timeout_seconds"])
    unclaimed = CheckResult.objects.live().filter(
        pk=result.pk, outcome=Outcome.WAITING, next_attempt_at=result.next_attempt_at
    )
    won = unclaimed.update(attempts=F("attempts") + 1, next_attempt_at=_by_deadline(result, now + lease))
    result.attempts += won
    return bool(won)


def _call(result: CheckResult) -> dict[str, Any]:
    """What `external.call` needs to know; read before the call leaves this thread."""
    request, version = result.request, result.request.version
    terms = terms_of(result)
    files = json.loads(request.evidence)["version"].get("files") or {}
    return {
        "settings": terms,
        "facts": {
            "request": request.pk,
            "request_url": f"{settings.SITE_URL}{request.get_absolute_url()}",
            "model": version.model.name,
            "version": version.number,
            "run_id": version.run_id,
            "target": request.target.name,
            "fingerprint": result.fingerprint,
            "files_digest": files.get("digest", ""),
            "answer_by": result.deadline_at.isoformat() if result.deadline_at else "",
        },
        "answer_url": f"{settings.SITE_URL}{reverse('approvals:check_callback', args=[result.token])}",
        "message_id": f"check-{result.pk}",
        "secret": signing.secret_for(terms["name"]),
    }


def _store(result: CheckResult, said: external.Answer, now: datetime) -> None:
    terms = terms_of(result)
    logger.info("check.called", check=result.pk, request=result.request_id, attempt=result.attempts,
                passed=said.passed, problem=said.problem)  # fmt: skip
    if said.passed is not None:
        workflow.answer_check(result, passed=said.passed, reason=said.reason, said_by=terms["name"])
    elif not said.problem:  # it follows; nothing more to do before the deadline
        workflow.store_attempt(result, problem="", next_attempt_at=result.deadline_at)
    elif result.attempts >= terms["attempts"]:
        calls = "It was called once" if result.attempts == 1 else f"It was called {result.attempts} times"
        reason = f"{calls} without success. {said.problem}"
        workflow.answer_check(result, passed=False, reason=reason, said_by=COUNTERSIGN)
    else:
        pause = min(FIRST_PAUSE * 2 ** (result.attempts - 1), LONGEST_PAUSE)
        problem = f"Call {result.attempts} of {terms['attempts']}: {said.problem[0].lower()}{said.problem[1:]}"
        workflow.store_attempt(result, problem=problem, next_attempt_at=_by_deadline(result, now + pause))


def _by_deadline(result: CheckResult, moment: datetime) -> datetime:
    return min(moment, result.deadline_at) if result.deadline_at else moment
