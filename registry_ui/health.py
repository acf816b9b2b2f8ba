"""/healthz says that the process is alive; /readyz whether the parts it needs are there, for probes and monitors.

A dead MLflow or broker does not take the pages down, so the answer is "degraded" then, and 503 only with `?strict=1`.
"""

from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from approvals.models import OutboxEntry
from mirror import clock, pace
from mirror.models import MirrorState, RegisteredModel, SetupCheck
from registry_ui.metrics import tokens

NO_MODEL = "MLflow answers, and shows no model to this account."


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """JSON `{"status": "ready" | "degraded" | "unready", "checks": {name: {"ok": bool}}}`; to those who show
    COUNTERSIGN_METRICS_TOKEN also "detail", a sentence, which may name addresses and repeat what MLflow said.

    503 when the database cannot be used, or, with `?strict=1`, when anything is not well.
    """
    checks = examine()
    is_ready = checks["database"]["ok"]
    is_well = all(check["ok"] for check in checks.values())
    status = "ready" if is_well else "degraded" if is_ready else "unready"
    is_503 = not is_ready or (request.GET.get("strict", "0") not in {"", "0"} and not is_well)
    may_read = tokens.may_read(request.headers.get("Authorization", ""))
    shown = checks if may_read else {name: {"ok": check["ok"]} for name, check in checks.items()}
    return JsonResponse({"status": status, "checks": shown}, status=503 if is_503 else 200)


def examine() -> dict[str, dict[str, Any]]:
    """Each part with whether it is well and a sentence. No call to MLflow: its health is what the mirror saw."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return {"database": _check(False, "Migrations are missing: run manage.py migrate.")}
        mirror: MirrorState = MirrorState.objects.current()
        owed = OutboxEntry.objects.owed(clock.now())
        backlog = owed.count()
        oldest = owed.first()
    except DatabaseError as error:
        return {"database": _check(False, f"Cannot be used: {type(error).__name__}.")}
    waits = _seconds_since(oldest.owed_since) if oldest else 0.0
    if mirror.is_failing:
        mlflow = _check(False, f"Has not answered since {mirror.failing_since:%Y-%m-%d %H:%M:%S} UTC: {mirror.error}")
    else:
        mlflow = _check(
            mirror.seen_at is not None,
            f"Version {mirror.server_version or 'unknown'}." if mirror.seen_at else "Not contacted yet.",
        )
    return {
        "database": _check(True, "Answers."),
        "broker": _broker(),
        "mlflow": mlflow,
        "registry": registry(mirror),
        "ledger": _check(not mirror.halt, mirror.halt or "Complete as far as MLflow shows."),
        "rights": _rights(),
        "gate": gate(mirror),
        "clocks": clocks(mirror),
        "mirror": _pull(mirror),
        "sweep": _sweep(mirror),
        "outbox": _check(
            _is_recent(waits, settings.STALE_AFTER_SECONDS),
            _told(waits, f"{backlog} waiting, the oldest for {waits:.0f} seconds.") if backlog else "Empty.",
        ),
    }


def _pull(mirror: MirrorState) -> dict[str, Any]:
    if mirror.pulled_at is None:
        return _check(False, "Never filled: is a worker with beat running?")
    age = _seconds_since(mirror.pulled_at)
    return _check(_is_recent(age, pace.stale_after(mirror)), _told(age, f"{age:.0f} seconds old."))


def _sweep(mirror: MirrorState) -> dict[str, Any]:
    """Judged by its own age and error: a pull that succeeds says nothing of it."""
    if mirror.sweep_failing_since:
        return _check(
            False, f"Has failed since {mirror.sweep_failing_since:%Y-%m-%d %H:%M:%S} UTC: {mirror.sweep_error}"
        )
    if mirror.swept_at is None:
        return _check(False, "No sweep has ended yet.")
    age = _seconds_since(mirror.swept_at)
    said = [_told(age, f"The last one finished {age:.0f} seconds ago.")]
    if not RegisteredModel.objects.exists():
        said.append(NO_MODEL)
    if mirror.sweep_notes:
        said.append(f"What could not be read or kept: {len(mirror.sweep_notes)}, see the System page.")
    return _check(_is_recent(age, pace.sweep_late_after(mirror)), " ".join(said))


def registry(mirror: MirrorState) -> dict[str, Any]:
    if mirror.is_refusing:
        return _check(
            False,
            f"Another registry answers. {mirror.refused['words']} Countersign does not read from it or write to it.",
        )
    return _check(True, "The mirrored registry." if mirror.registry else "Not contacted yet.")


def _rights() -> dict[str, Any]:
    last = SetupCheck.objects.filter(pk=1).first()
    if last is None:
        return _check(True, "Not checked: manage.py check_mlflow does.")
    bad = [row["what"] for row in last.rows if row["level"] == "bad"]
    return _check(last.is_good, f"Missing: {', '.join(bad)}." if bad else f"Checked {last.at:%Y-%m-%d %H:%M} UTC.")


def gate(mirror: MirrorState) -> dict[str, Any]:
    """Well too where no target is to be enforced."""
    if not mirror.gate:
        return _check(True, "Not asked yet, or no target is enforced in MLflow.")
    stands = f"Version {', '.join(mirror.gate['versions'])}, policy {mirror.gate['serial']}."
    return _check(
        not mirror.gate["trouble"],
        mirror.gate["trouble"] or (stands if mirror.gate["versions"] else "MLflow has none; no target is enforced."),
    )


def clocks(mirror: MirrorState) -> dict[str, Any]:
    """Of this host, each worker's and MLflow's, each against the database's."""
    workers = {f"The worker on {host}": said["seconds"] for host, said in mirror.workers(clock.now()).items()}
    known = {"This host": clock.skew(), **workers, "MLflow": mirror.clocks.get("mlflow")}
    apart = [
        f"{name} is {abs(seconds):.0f} seconds {'ahead of' if seconds > 0 else 'behind'} the database."
        for name, seconds in known.items()
        if seconds is not None and abs(seconds) > clock.MOST_SECONDS
    ]
    return _check(not apart, " ".join(apart) or "Within 30 seconds of each other.")


def _seconds_since(at: datetime) -> float:
    """Never a little below nothing, as of two clocks that agree; far below, where they do not."""
    seconds = (clock.now() - at).total_seconds()
    return max(seconds, 0.0) if seconds > -clock.MOST_SECONDS else seconds


def _is_recent(seconds: float, most: float) -> bool:
    return 0 <= seconds <= most


def _told(seconds: float, words: str) -> str:
    return (
        words if seconds >= 0 else f"Its time is {-seconds:.0f} seconds ahead of the database's clock: clocks differ."
    )


def _check(is_ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": is_ok, "detail": detail}


def _broker() -> dict[str, Any]:
    kind = settings.CELERY_BROKER_URL.split(":", 1)[0]
    try:
        with current_app.connection_for_write() as link:
            link.ensure_connection(max_retries=0)  # one try; 2 seconds by the transport options
    except Exception as error:  # whatever the broker's library raises
        return _check(False, f"Cannot be reached ({type(error).__name__}); deliveries wait for the drain.")
    return _check(True, f"Answers ({kind}).")
