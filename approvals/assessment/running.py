"""The worker's part before review: read facts and files from MLflow, then `workflow.conclude`.

Which requests are owed is in the database (`Assessment`); the broker only says when to look. Called by
`approvals.tasks` and by tests, with a registry.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import models
from django.db.models import Q

from approvals import policy, workflow
from approvals.models import Assessment, PromotionRequest, Status
from approvals.models.requests import UNDECIDED
from approvals.selectors import champions, evidence_inputs, frozen_evidence
from mirror import clock, inspection, sync
from mirror.isolation import alone
from mirror.models import ModelVersion
from mirror.port import Denied, NotFound, Registry, RegistryError, Unreachable

logger = structlog.get_logger(__name__)

MOST_FAILURES = 5


class GivenUp(Exception):
    """It failed too often in a row in a way that no one foresaw."""


def assess(request_id: int, registry: Registry) -> str:
    """Inspects one request's version and runs its checks; returns "concluded", "waiting" (MLflow did not answer, it is
    due again later; after a day it is given up) or "skipped" (not owed, not due, or another worker is at it). Never
    raises for a RegistryError."""
    token = uuid.uuid4().hex
    lease = timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)
    claimed = Assessment.objects.claim(request_id, by=token, lease=lease)
    if claimed is None:
        return "skipped"
    held = Assessment.objects.filter(request_id=request_id, claimed_by=token)
    request = PromotionRequest.objects.with_subject().get(pk=request_id)
    if request.status != Status.CHECKING:
        held.update(is_owed=False, lease_expires_at=None)
        return "skipped"
    if problem := _given_up(claimed):
        workflow.conclude(request, problem=problem)
        return "concluded"
    try:
        # Counted with the claim: a file that kills the worker every time is met by an end, too.
        if claimed.failures > MOST_FAILURES:
            raise GivenUp
        _read(request, registry, renew=lambda: held.update(lease_expires_at=clock.now() + lease))
    except GivenUp:
        problem = (
            f"The inspection ended {MOST_FAILURES} times without a result, so it is not retried automatically. "
            "The worker's log has the reason. Submit the request again once it is mended."
        )
    except (Unreachable, Denied) as error:
        # MLflow was away, which says nothing of the files: waiting is not failing.
        held.update(failures=0)
        return _later(held, claimed, error.message)
    except NotFound:
        problem = f"Version {request.version.number} of {request.version.model.name} no longer exists in MLflow."
    except RegistryError as error:
        problem = f"The model's files could not be read: {error.message}"
    except Exception as error:
        _later(held, claimed, f"The inspection met an error of its own ({type(error).__name__}); see the worker's log.")
        raise
    if not held.exists():  # the lease ran out, or the request was submitted again
        return "skipped"
    try:
        workflow.conclude(request, problem=problem)
    except Exception as error:
        _later(held, claimed, f"The checks met an error of their own ({type(error).__name__}); see the worker's log.")
        raise
    logger.info("assessed", request=request_id, problem=problem, correlation_id=str(request.correlation_id))
    return "concluded"


def _given_up(claimed: Assessment) -> str:
    """Why there is no further try: a sentence for the page, or "". The requester can submit the request again."""
    hours = settings.CHECKING_HOURS
    if claimed.waiting_since and clock.now() - claimed.waiting_since > timedelta(hours=hours):
        return f"The model's files could not be read within {hours} hours. Last: {claimed.last_error}"
    return ""


def _read(request: PromotionRequest, registry: Registry, *, renew: "inspection.Progress") -> None:
    """Brings the mirror up to date with what is decided on: version, holders, files; the champion's facts."""
    version, rule = request.version, policy.Rule.from_json(request.rule)
    sync.refresh_version(registry, version.model.name, version.number)
    version.refresh_from_db()
    inspection.inspect(
        registry,
        version,
        files_limit_bytes=rule.files_limit_bytes,
        seconds=settings.INSPECTION_SECONDS,
        progress=renew,
    )
    champion = champions.champion_for(request)
    if champion is not None and champion.pk != version.pk:
        try:
            sync.refresh_version(registry, champion.model.name, champion.number)
            _read_packaging_once(registry, champion)
        except (Unreachable, Denied):
            raise
        except RegistryError as error:  # the champion's files may be gone; the challenger is judged all the same
            logger.warning("champion.unread", request=request.pk, error=error.message)


def _read_packaging_once(registry: Registry, champion: ModelVersion) -> None:
    known = getattr(champion, "inspection", None)
    if known is None or known.packaging is None:
        inspection.read_packaging(registry, champion)


def _later(held: "models.QuerySet[Assessment]", claimed: Assessment, message: str) -> str:
    now = clock.now()
    pause = min(2 ** min(claimed.attempts - 1, 16), settings.DELIVERY_BACKOFF_CAP_SECONDS)
    held.update(
        claimed_by="",
        lease_expires_at=None,
        due_at=now + timedelta(seconds=pause),
        waiting_since=claimed.waiting_since or now,
        last_error=message,
    )
    return "waiting"


def drain(
    registry: Registry, *, first: int | None = None, limit: int = 200, is_over: Callable[[], bool] = lambda: False
) -> int:
    """Assesses `first`, and then what is due, the oldest first, until nothing is, `limit` is reached or it `is_over`;
    returns how many were looked at. What raises is logged and keeps no one waiting."""
    if first is not None:
        _assess_alone(first, registry)
    for done in range(limit):
        due = Assessment.objects.due(clock.now()).order_by("due_at", "pk").values_list("request_id", flat=True).first()
        if due is None or is_over():
            return done
        _assess_alone(due, registry)
    return limit


def _assess_alone(request_id: int, registry: Registry) -> None:
    with alone("assessment.error", request=request_id):  # it is released already, and due again later
        assess(request_id, registry)


def reread(registry: Registry, *, limit: int = 100) -> int:
    """Reads again what people are deciding on: the sweep reads old versions once a day, and a run that is deleted or
    goes on has to be seen before a person approves. Returns how many versions."""
    open_requests = PromotionRequest.objects.filter(status__in=UNDECIDED)
    # Numbers, not a query inside the other: PostgreSQL would walk all versions for the "or" of two.
    pairs = open_requests.values_list("version_id", "champion_id")
    versions = ModelVersion.objects.filter(pk__in={pk for pair in pairs for pk in pair} - {None})
    try:
        return sync.refresh_facts(registry, versions, limit=limit)
    except RegistryError as error:  # the mirror's own health says so
        logger.info("reread.failed", error=error.message)
        return 0


def watch() -> int:
    """Sends pending requests whose content has changed in the mirror back to review, and runs the checks again over
    blocked ones that have changed; returns how many. Looks without a lock, in a few queries whatever waits, and freezes
    only that of which something has moved since this process last found it unchanged."""
    watched = Q(status=Status.PENDING) | Q(status=Status.CHECKING, assessment__is_owed=False)
    # Before any of it is compared: what moves meanwhile has another digest next time.
    seen = evidence_inputs.digests(PromotionRequest.objects.filter(watched))
    found, unchanged = 0, {pk: digest for pk, digest in seen.items() if _unchanged.get(pk) == digest}
    moved = PromotionRequest.objects.with_subject().filter(watched, pk__in=seen.keys() - unchanged.keys())
    for request in moved.order_by("pk").iterator(chunk_size=200):
        with alone("request.not_watched", request=request.pk):
            if frozen_evidence.changes(request):
                found += _follow(request)
            else:
                unchanged[request.pk] = seen[request.pk]
    _unchanged.clear()
    _unchanged.update(unchanged)
    return found


_unchanged: dict[int, evidence_inputs.Digest] = {}
"""What each request's evidence was made of when it was last found unchanged."""


def _follow(request: PromotionRequest) -> bool:
    if request.status == Status.PENDING:
        return bool(workflow.reopen(request))
    if request.checks.blocking().filter(key=workflow.FILES).exists():
        Assessment.objects.owe(request)  # what is known of its files is from another look than the one that failed
        return True
    return workflow.conclude(request)
