"""MLflow as the worker left word of it: what answers, who may do what there, its gate."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from approvals import administration
from approvals.models import Enforcement, PolicyFeed, Target
from mirror import identity
from mirror.models import MirrorState, SetupCheck
from registry_ui.system.part import BAD, GOOD, QUEUE, SLOW, Part


def mlflow(mirror: MirrorState) -> Part:
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


def registry(mirror: MirrorState) -> Part:
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


def rights() -> Part:
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


def gate(mirror: MirrorState) -> Part:
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


def policy() -> list[Part]:
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
        return [Part(name, BAD, "Late", f"{number}, last signed", feed.issued_at, remedy=QUEUE)]
    if feed.fetched_at is None or now - feed.fetched_at > FETCHED_WITHIN:
        words = f"{number}; MLflow last fetched it" if feed.fetched_at else f"{number}; MLflow has never fetched it."
        remedy = (
            "MLflow continues with the one it has. Check that it reaches this site, and its COUNTERSIGN_GATE_TOKEN."
        )
        return [Part(name, BAD, "Not fetched", words, feed.fetched_at, remedy=remedy)]
    return [Part(name, GOOD, "Fetched", f"{number}; MLflow last fetched it", feed.fetched_at)]


SIGNED_WITHIN, FETCHED_WITHIN = timedelta(minutes=5), timedelta(minutes=5)
"""It is signed every minute, and fetched by each process of MLflow every ten seconds."""
