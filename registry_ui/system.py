"""How the parts of this installation are, in words, and what to do about each. Asks nobody but the database and the
broker: what is known of MLflow and the worker is what they left behind there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import identity_providers
from approvals import administration
from approvals.models import (
    Assessment,
    ChainHead,
    Enforcement,
    LedgerCut,
    Notification,
    NotificationState,
    OutboxEntry,
    PolicyFeed,
    Target,
    Verification,
    WatchState,
)
from approvals.models.notifications import LONGEST
from mirror import identity, pace
from mirror.models import MirrorState, RegisteredModel, SetupCheck
from registry_ui import database_roles, health, rhythm
from registry_ui.health import NO_MODEL

NOTES_SHOWN = 10
GOOD, SLOW, BAD = "good", "slow", "bad"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    state: str
    word: str
    detail: str
    at: datetime | None = None
    """A moment that belongs to the detail; the page writes it after it."""

    error: str = ""
    remedy: str = ""
    standstill: administration.Standstill | None = None
    """What an administrator ends here, with a reason."""


def parts() -> list[Part]:
    """Every part, the database first. Where the database cannot be used, nothing else is known."""
    checks = health.examine()
    if not checks["database"]["ok"]:
        return [_simple("Database", checks["database"], "See the log of the web process and check DATABASE_URL.")]
    mirror: MirrorState = MirrorState.objects.current()
    return [
        _simple("Database", checks["database"], ""),
        _database_role(),
        _mlflow(mirror),
        _registry(mirror),
        *_cut(),
        _rights(),
        _gate(mirror),
        *_policy(),
        *map(_roles, identity_providers.states()),
        _clocks(mirror),
        _worker(mirror),
        _mirror(mirror),
        _sweep(mirror),
        _watch(mirror),
        _checks(),
        _broker(checks["broker"]),
        _outbox(),
        _notifications(),
        _ledger(),
    ]


def _simple(name: str, check: Mapping[str, Any], remedy: str) -> Part:
    return (
        Part(name, GOOD, "OK", check["detail"])
        if check["ok"]
        else Part(name, BAD, "Trouble", check["detail"], remedy=remedy)
    )


def _database_role() -> Part:
    """Whether the ledger's triggers hold against who runs this."""
    name, role = "Database role", database_roles.running_role()
    if role is None:
        return Part(name, GOOD, "Does not apply", "SQLite has no roles: who can write its file can change all of it.")
    if role.problem:
        return Part(name, SLOW, "Can do too much", role.problem, remedy=role.remedy)
    return Part(
        name, GOOD, "OK", f"{role.name} writes rows and owns no table, so the ledger's triggers hold against it."
    )


def _mlflow(mirror: MirrorState) -> Part:
    version = f"Version {mirror.server_version}" if mirror.server_version else "Version unknown"
    if mirror.is_unsigned:
        return Part(
            "MLflow",
            BAD,
            "Sign-in refused",
            "Refused since",
            mirror.failing_since,
            error=mirror.error,
            remedy="Give the worker the right MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN. If they come from files, exchange the file: no restart is needed. Nothing is lost "
            "meanwhile: approved requests wait and are delivered when MLflow takes the sign-in.",
        )
    if mirror.is_misplaced:
        return Part(
            "MLflow",
            BAD,
            "Which workspace?",
            "Nothing is read or written since",
            mirror.failing_since,
            error=mirror.error,
            remedy="Set COUNTERSIGN_MLFLOW_WORKSPACE for web and workers to the workspace of MLflow that is mirrored; "
            "where MLflow has none, leave it empty.",
        )
    if mirror.is_failing:
        return Part(
            "MLflow",
            BAD,
            "Not responding",
            "No answer since",
            mirror.failing_since,
            error=mirror.error,
            remedy=f"Check that MLflow runs at {settings.MLFLOW_TRACKING_URI} and that the worker's host can reach it. "
            "Nothing is lost meanwhile: approved requests wait and are delivered when it is back.",
        )
    if mirror.seen_at is None:
        return Part(
            "MLflow", SLOW, "Not contacted yet", "No worker has contacted it yet.", remedy="Start a worker: see below."
        )
    latency = f", answers in {mirror.latency_ms:.0f} ms" if mirror.latency_ms is not None else ""
    return Part("MLflow", GOOD, "OK", f"{version}{latency}; last answer", mirror.seen_at)


def _registry(mirror: MirrorState) -> Part:
    """Whether what answers is what is mirrored."""
    known = mirror.registry
    if mirror.is_refusing:
        return Part(
            "Registry",
            BAD,
            "Another registry",
            "Countersign does not read from it or write to it. Last refused",
            mirror.refused_at,
            error=mirror.refused["words"],
            remedy=identity.REMEDY,
            standstill=administration.REGISTRY,
        )
    if not known:
        return Part("Registry", SLOW, "Not known yet", "Its identity is recorded at first contact.")
    where, workspace = " and ".join(known["addresses"]), known.get("workspace", "")
    if workspace == identity.DEFAULT:
        where = f"{where}, workspace {workspace}"
    if workspace != settings.MLFLOW_WORKSPACE:
        return Part(
            "Registry",
            SLOW,
            "Named differently",
            f"The worker mirrors {f'the workspace {workspace}' if workspace else 'no workspace'} of {where}, and web "
            f"names {settings.MLFLOW_WORKSPACE or 'none'}: links to MLflow lead elsewhere.",
            remedy="Set COUNTERSIGN_MLFLOW_WORKSPACE to the same for web and workers.",
        )
    if known.get("not_kept"):
        return Part(
            "Registry",
            SLOW,
            "Weakly identified",
            f"{where}. MLflow does not let Countersign store an identity, so another server can be recognized "
            "only by its models.",
            error=known["not_kept"],
            remedy="Give the service account EDIT on the experiment Default, or let it create experiments.",
        )
    return Part("Registry", GOOD, "Known", f"{where}, identity {known['key'][:8]}…")


def _cut() -> list[Part]:
    cut = LedgerCut.objects.open().first()
    if cut is None:
        return []
    return [
        Part(
            "End of the ledger",
            BAD,
            "Cut off",
            f"The ledger ends with event {cut.sequence}, but MLflow has later approvals: an older backup was restored. "
            "Nothing is written to MLflow. Found",
            cut.found_at,
            error=" ".join(cut.evidence),
            remedy="Restore a newer backup if there is one. Otherwise an administrator acknowledges it here or with "
            "manage.py acknowledge_cut: what is in MLflow now stays as it is and is reported. "
            "The steps are in docs/operations.md, Backup and restore.",
            standstill=administration.CUT_LEDGER,
        )
    ]


def _roles(state: identity_providers.State) -> Part:
    """Roles and groups that an identity provider decides about."""
    provider = state.provider
    name, decided = f"Roles from {provider.name}", f"Decides about {', '.join(sorted(provider.decided))}."
    if state.unknown:
        said = f"Groups of {provider.name} are mapped to {', '.join(state.unknown)}: no such role or group here."
        return Part(
            name, BAD, "Unknown group", said, remedy="Add the group under People, or correct the setting …_ROLES."
        )
    if state.keeps_administrator:
        said = f"{provider.name} takes the role administrator from the last person who has it; they keep it."
        return Part(name, BAD, "Administrator kept", said, remedy="Give the role to another person.")
    if state.last_at is None:
        return Part(name, GOOD, "Not used yet", f"{decided} No one has signed in through it yet.")
    if state.was_silent:
        return Part(
            name,
            SLOW,
            "Not sent",
            f"The claim {provider.claim} was missing at the last sign-in, so that person's roles did not change:",
            state.last_at,
            remedy="Check the scope and the claim at the provider: docs/operations.md, Sign-in. Entra ID leaves it out "
            "for people in more than 200 groups.",
        )
    return Part(name, GOOD, "OK", f"{decided} Last sign-in", state.last_at)


def _rights() -> Part:
    last = SetupCheck.objects.filter(pk=1).first()
    how = "manage.py check_mlflow tests each right on a temporary model."
    if last is None:
        return Part(
            "Rights in MLflow",
            SLOW,
            "Not checked",
            "The rights of the service account have not been checked yet.",
            remedy=how,
        )
    bad = [row for row in last.rows if row["level"] == "bad"]
    notes = [f"{row['what']}: {row['words']}" for row in last.rows if row["level"] == "note"]
    if bad:
        said = " ".join(f"{row['what']}: {row['words']}" for row in bad)
        remedies = " ".join(dict.fromkeys(row["remedy"] for row in bad if row["remedy"]))
        return Part(
            "Rights in MLflow", BAD, "Missing", "Checked", last.at, error=said, remedy=f"{remedies} {how}".strip()
        )
    return Part("Rights in MLflow", GOOD, "OK", " ".join([*notes, "Checked"]), last.at)


def _gate(mirror: MirrorState) -> Part:
    """Whether MLflow refuses what was not approved."""
    found = mirror.gate
    if not found and Target.objects.current().exclude(enforcement=Enforcement.OFF).exists():
        return Part("Gate in MLflow", SLOW, "Not asked yet", "The worker asks MLflow every minute whether it is there.")
    if not found:
        return Part("Gate in MLflow", GOOD, "Not used", "No target is enforced in MLflow; changes there are reported.")
    at, said = datetime.fromisoformat(found["at"]), " and ".join(found["versions"])
    if found["trouble"]:
        remedy = (
            "Who runs MLflow starts it with MLFLOW_REGISTRY_STORE_URI=countersign:… in every process, and without "
            "COUNTERSIGN_GATE_MODE; an opening ends on its own. Until then, changes there are reported as incidents."
        )
        since = datetime.fromisoformat(found["since"])
        return Part("Gate in MLflow", BAD, "Not enforced", "Since", since, error=found["trouble"], remedy=remedy)
    if not found["versions"]:
        word = "Missing" if found["state"] == "missing" else "Unknown"
        return Part("Gate in MLflow", SLOW, word, "Targets are observed, and MLflow tells nothing; last asked", at)
    modes = " and ".join(found["modes"])
    return Part("Gate in MLflow", GOOD, "Stands", f"Version {said}, policy {found['serial']}, {modes}; last asked", at)


def _policy() -> list[Part]:
    """Whether MLflow has what is enforced: signed by the worker, handed out here. Nothing where no target asks."""
    targets = [target for target in Target.objects.current() if target.enforcement != Enforcement.OFF]
    if not targets:
        return []
    name, now, feed = "Policy for MLflow", timezone.now(), PolicyFeed.objects.current()
    modes = {Enforcement.OBSERVE: "observed", Enforcement.ENFORCE: "enforced"}
    what = " ".join(f"{target.name} is {modes[Enforcement(target.enforcement)]}." for target in targets)
    if not settings.GATE_TOKEN:
        remedy = "Set COUNTERSIGN_GATE_TOKEN for the web process and for MLflow: MLflow shows it to fetch the policy."
        return [Part(name, BAD, "No token", what, remedy=remedy)]
    if feed.problem or feed.issued_at is None:
        remedy = "manage.py gate --new-key makes a key; give the private one to the worker alone."
        return [
            Part(
                name, BAD, "Not signed", what, error=feed.problem or "The worker has not signed it yet.", remedy=remedy
            )
        ]
    number = f"{what} Policy {feed.serial}"
    if now - feed.issued_at > SIGNED_WITHIN:
        return [Part(name, BAD, "Late", f"{number}, last signed", feed.issued_at, remedy=_QUEUE)]
    if feed.fetched_at is None or now - feed.fetched_at > FETCHED_WITHIN:
        words = f"{number}; MLflow last fetched it" if feed.fetched_at else f"{number}; MLflow has never fetched it."
        remedy = (
            "MLflow continues with the one it has. Check that it reaches this site, and its COUNTERSIGN_GATE_TOKEN."
        )
        return [Part(name, BAD, "Not fetched", words, feed.fetched_at, remedy=remedy)]
    return [Part(name, GOOD, "Fetched", f"{number}; MLflow last fetched it", feed.fetched_at)]


SIGNED_WITHIN, FETCHED_WITHIN = timedelta(minutes=5), timedelta(minutes=5)
"""It is signed every minute, and fetched by each process of MLflow every ten seconds."""


def _clocks(mirror: MirrorState) -> Part:
    check = health.clocks(mirror)
    if check["ok"]:
        return Part("Clocks", GOOD, "OK", check["detail"])
    remedy = "Synchronize all hosts with NTP. Due times follow the database's clock."
    return Part("Clocks", BAD, "Out of sync", check["detail"], remedy=remedy)


def _worker(mirror: MirrorState) -> Part:
    """A pull that MLflow did not answer is a sign of life of the worker as well."""
    moments = (mirror.pulled_at, mirror.swept_at, mirror.failed_at, mirror.sweep_failed_at)
    seen = max((at for at in moments if at), default=None)
    remedy = "Start worker and beat (docs/operations.md names the commands), or check their logs if they are running."
    if seen is None:
        return Part("Worker", BAD, "Never seen", "No worker with beat has started yet.", remedy=remedy)
    if (timezone.now() - seen).total_seconds() > pace.stale_after(mirror):
        return Part("Worker", BAD, "Silent", "Last seen", seen, remedy=remedy)
    hosts = sorted(mirror.workers(timezone.now()))
    there = f"On {', '.join(hosts)} in the last 10 minutes; last pull" if len(hosts) > 1 else "Last pull"
    return Part("Worker", GOOD, "OK", there, seen)


def _mirror(mirror: MirrorState) -> Part:
    if mirror.pulled_at is None:
        return Part(
            "Mirror",
            BAD,
            "Empty" if mirror.swept_at is None else "Not pulled",
            "No data from MLflow yet." if mirror.swept_at is None else "No pull has finished yet.",
            remedy="The mirror fills once a worker runs and MLflow responds.",
        )
    if (timezone.now() - mirror.pulled_at).total_seconds() > pace.stale_after(mirror):
        return Part(
            "Mirror",
            BAD,
            "Stale",
            "Pages show data from",
            mirror.pulled_at,
            remedy="It catches up when MLflow and the worker are back.",
        )
    return Part("Mirror", GOOD, "Fresh", f"{rhythm.pulls(mirror)} Last pull", mirror.pulled_at)


def _sweep(mirror: MirrorState) -> Part:
    if mirror.is_stopped:
        return Part(
            "Sweep",
            BAD,
            "Stopped",
            "Too much is missing from MLflow at once. Updates are still mirrored; deletions wait for "
            "confirmation. Since",
            mirror.sweep_failing_since,
            error=mirror.sweep_error,
            remedy="Check that MLflow, and any proxy in front of it, returns complete answers. If what is missing "
            "was deleted, an "
            "administrator confirms it here or with manage.py sweep --confirm-deletions REASON.",
            standstill=administration.DELETIONS,
        )
    if mirror.sweep_failing_since:
        return Part(
            "Sweep",
            BAD,
            "Fails",
            "No sweep has finished since",
            mirror.sweep_failing_since,
            error=mirror.sweep_error,
            remedy="Only a sweep sees deletions, tags and aliases. manage.py sweep runs one now.",
        )
    progress = mirror.sweep_progress
    if progress and mirror.sweeping_until and mirror.sweeping_until > timezone.now():
        counted = f"{progress.get('models', 0):,} models and {progress.get('versions', 0):,} versions so far"
        return Part("Sweep", GOOD, "Running", f"{counted}; last one finished", mirror.swept_at)
    if mirror.swept_at is None:
        return Part(
            "Sweep",
            SLOW,
            "Not yet",
            "No full sweep has finished yet.",
            remedy="manage.py sweep runs one now and shows its progress.",
        )
    if (timezone.now() - mirror.swept_at).total_seconds() > pace.sweep_late_after(mirror):
        return Part(
            "Sweep",
            SLOW,
            "Late",
            "Last one finished",
            mirror.swept_at,
            remedy="Only a sweep sees deletions, tags and aliases. manage.py sweep runs one now.",
        )
    if mirror.sweep_notes:
        count = len(mirror.sweep_notes)
        return Part(
            "Sweep",
            SLOW,
            "Incomplete",
            f"{count} item{'' if count == 1 else 's'} could not be read or stored; last one finished",
            mirror.swept_at,
            error="\n".join(mirror.sweep_notes[:NOTES_SHOWN]),
            remedy="Everything else is mirrored. Grant the service account the missing rights.",
        )
    if not RegisteredModel.objects.exists():
        return Part(
            "Sweep",
            SLOW,
            "No models",
            f"{NO_MODEL} Last one finished",
            mirror.swept_at,
            remedy="If MLflow has models, the service account cannot read them, or uses another workspace.",
        )
    return Part("Sweep", GOOD, "On time", f"{rhythm.sweeps(mirror)} Last one finished", mirror.swept_at)


def _watch(mirror: MirrorState) -> Part:
    if mirror.swept_at is None:
        return Part("Watch", SLOW, "Not yet", "Starts after the first sweep.")
    looked_at = WatchState.objects.filter(pk=1).values_list("looked_at", flat=True).first()
    detail = f"MLflow is compared with what was approved every {settings.DRAIN_SECONDS} seconds; last"
    if (timezone.now() - (looked_at or mirror.swept_at)).total_seconds() > settings.STALE_AFTER_SECONDS:
        return Part("Watch", BAD, "Late", detail if looked_at else "No check yet.", looked_at, remedy=_QUEUE)
    if looked_at is None:
        return Part("Watch", SLOW, "Not yet", "Starts in a moment: the first sweep has finished.")
    return Part("Watch", GOOD, "On time", detail, looked_at)


def _checks() -> Part:
    """Requests whose files and checks the worker owes a look."""
    now = timezone.now()
    owed = Assessment.objects.due(now).order_by("due_at")
    oldest = owed.first()
    if oldest is None:
        return Part("Checks", GOOD, "None waiting", "No checks are waiting.")
    detail = f"{owed.count():,} waiting; the oldest is of request #{oldest.request_id}, due"
    if (now - oldest.due_at).total_seconds() > settings.STALE_AFTER_SECONDS:
        return Part("Checks", SLOW, "Late", detail, oldest.due_at, error=oldest.last_error, remedy=_QUEUE)
    return Part("Checks", GOOD, "In progress", detail, oldest.due_at, error=oldest.last_error)


_QUEUE = "A worker must read this queue: see Queues in docs/operations.md, and the worker's log."


def _broker(check: Mapping[str, Any]) -> Part:
    if check["ok"]:
        return Part("Broker", GOOD, "OK", check["detail"])
    return Part(
        "Broker",
        SLOW,
        "Unreachable",
        check["detail"],
        remedy="Check CELERY_BROKER_URL and that the broker is running. "
        f"Approvals still count; the worker looks for them every {settings.DRAIN_SECONDS} seconds.",
    )


def _outbox() -> Part:
    now = timezone.now()
    halves = OutboxEntry.objects.open().exclude(half=None).order_by("pk")
    if half := halves.first():
        others = halves.count() - 1
        more = f", and {others} more" if others else ""
        return Part(
            "Deliveries",
            BAD,
            "Partly delivered",
            f"MLflow applied only part of request #{half.request_id}{more}, without {' and '.join(half.missing)}, "
            "since",
            half.waiting_since,
            error=half.last_error,
            remedy="Countersign keeps retrying. Fix the error from MLflow, or end the request on its page.",
        )
    waiting = OutboxEntry.objects.owed(now)
    oldest = waiting.first()
    if oldest is None and (held := OutboxEntry.objects.open().count()):
        words = "1 approved request is" if held == 1 else f"{held:,} approved requests are"
        return Part("Deliveries", GOOD, "Held", f"{words} waiting for a freeze to end.")
    if oldest is None:
        return Part("Deliveries", GOOD, "None waiting", "Every approved request is delivered.")
    count = waiting.count()
    waiting_words = "1 approved request waits" if count == 1 else f"{count:,} approved requests wait"
    tries = {0: "not tried yet", 1: "tried once"}.get(oldest.attempts, f"tried {oldest.attempts} times")
    detail = f"{waiting_words}; the oldest (request #{oldest.request_id}, {tries}) was approved"
    is_late = (now - oldest.owed_since).total_seconds() > settings.STALE_AFTER_SECONDS
    if not is_late:
        return Part("Deliveries", GOOD, "On their way", detail, oldest.created_at, error=oldest.last_error)
    return Part(
        "Deliveries",
        BAD,
        "Delayed",
        detail,
        oldest.created_at,
        error=oldest.last_error,
        remedy="Countersign delivers them as soon as a worker runs and MLflow responds; no new approval is needed.",
    )


def _next_try(at: datetime | None) -> str:
    return f"Next try at {at:%H:%M} UTC. " if at and at > timezone.now() else ""


def _notifications() -> Part:
    """Mail alone has a server that is looked after; chats are tried one by one."""
    now = timezone.now()
    state = NotificationState.objects.first() or NotificationState()
    waiting = Notification.objects.open().filter(is_digest=False)
    count, oldest = waiting.count(), waiting.order_by("created_at").first()
    lost = Notification.objects.filter(is_undelivered=True, dropped_at__gt=now - timedelta(days=7)).count()
    words = f"{count:,} notification{'' if count == 1 else 's'} wait{'s' if count == 1 else ''}"
    if state.mail_failing_since:
        return Part(
            "Notifications",
            BAD,
            "Mail waits",
            f"{words}; the mail server has not taken any since",
            state.mail_failing_since,
            error=state.mail_error,
            remedy=f"{_next_try(state.mail_paused_until)}Check EMAIL_URL and the mail server; manage.py sendtestemail "
            f"tries it out. Mail that cannot be sent within {LONGEST.days} days is dropped; nothing else waits for it.",
        )
    if oldest and (now - oldest.due_at).total_seconds() > settings.STALE_AFTER_SECONDS:
        remedy = "They are sent as soon as a worker runs. Refused ones are retried."
        return Part(
            "Notifications", SLOW, "Delayed", f"{words}; since", oldest.due_at, error=oldest.last_error, remedy=remedy
        )
    if lost:
        remedy = "The people whose mail was refused see it under Preferences, Notifications. Check their addresses."
        return Part(
            "Notifications", SLOW, "Refused", f"{lost:,} in the last 7 days were refused permanently.", remedy=remedy
        )
    return Part("Notifications", GOOD, "On time", f"{words}." if count else "All notifications are sent.")


def _ledger() -> Part:
    head = ChainHead.objects.filter(pk=1).first()
    if head is None:
        return Part(
            "Ledger",
            BAD,
            "Without a head",
            "The head of the chain is missing.",
            remedy="Restore the database from a backup.",
        )
    last = Verification.objects.done().first()
    if last and last.problem:
        remedy = "Keep the database as it is. The steps are under History, Ledger."
        return Part("Ledger", BAD, "Broken", last.problem, last.ended_at, remedy=remedy)
    events = "1 event" if head.sequence == 1 else f"{head.sequence:,} events"
    kept = f"{events}; the head is {head.hash[:12]}"
    if last is None:
        return Part("Ledger", SLOW, "Not verified yet", f"{kept}. It has not been verified yet.")
    return Part("Ledger", GOOD, "Intact", f"{kept}; last verified", last.ended_at)
