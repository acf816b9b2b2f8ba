"""What MLflow's gate is told: which places of which models are enforced, in which words it refuses, and which folders
it seals. The worker signs it, because it alone has the key; the web process hands out what is stored.

The text is what `mlflow_gate.policy` reads; a contract test has it read what is written here.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from mlflow_gate import grants
from mlflow_gate.policy import DOCTOR, PROBE

from approvals import policy
from approvals.models import Enforcement, OutboxEntry, Policy, PolicyFeed, SealedFolder, Target
from approvals.selectors import policy_overview
from mirror import clock
from mirror.models import Alias, ModelVersion
from mirror.port import NotFound, Refused, Registry, RegistryError, is_served, served_path

logger = structlog.get_logger(__name__)

PURPOSE = "policy"
EVERY = timedelta(seconds=55)
"""So often it is signed anew, changed or not: MLflow sees by its age that Countersign is alive."""

NO_KEY = "The worker has no key to sign with: set COUNTERSIGN_GATE_KEY for it."
FEWEST_PARTS = 3
"""`0/<run>/artifacts`, `1/models/<id>`: MLflow keeps the files of one run or model no higher than that."""

WORKSPACE = re.compile(r"^workspaces/[^/]+/")
"""Before them, in an MLflow with workspaces."""

MOST_LOOKED_UP = 200
"""Folders that MLflow is asked for in one run."""

UNKNOWN_AGAIN = 600
"""Seconds after which MLflow is asked again for a folder that it did not name: a look comes every few seconds."""


def sign_if_due(registry: Registry) -> int | None:
    """For the schedule: signs and stores the policy when something in it changed, or the last one is a minute old.
    Returns its serial; None when nothing was due, or there is no key."""
    if not settings.GATE_KEY:
        _note(NO_KEY if _is_asked_for() else "")
        return None
    _look_up_folders(registry)
    key = Ed25519PrivateKey.from_private_bytes(settings.GATE_KEY)
    last = PolicyFeed.objects.current()
    if not _is_due(last, contents(registry.workspace), key):
        return None
    PolicyFeed.objects.get_or_create(pk=1)
    with transaction.atomic():
        # One worker after the other, each with what stands once the one before it is done: the serial is never used
        # twice, and an older look does not overwrite a newer one.
        last = PolicyFeed.objects.select_for_update().get(pk=1)
        now, found = clock.now(), contents(registry.workspace)
        if not _is_due(last, found, key):
            return None
        # Also after an older backup was restored it is higher than what MLflow has seen, as the time is.
        serial = last.serial if _said(last) == found else max(last.serial + 1, int(now.timestamp()))
        text = _written(serial, now, found)
        PolicyFeed.objects.filter(pk=1).update(
            serial=serial,
            text=text,
            signature=grants.sign_text(key, PURPOSE, text.encode()),
            key=grants.public_key_of(key),
            issued_at=now,
            problem="",
        )
    if serial != last.serial:
        logger.info("gate.policy_signed", serial=serial, rules=len(found["rules"]), sealed=len(found["sealed"]))
    return serial


def contents(workspace: str = "") -> dict[str, Any]:
    """What the feed says beside its serial and time: plain data. Four queries. `workspace` is that of MLflow which is
    mirrored, "" for its default one; what lies in others is not Countersign's."""
    return {
        "audience": settings.GATE_AUDIENCE,
        "site": settings.SITE_URL,
        "rules": [rule | {"workspace": workspace} for rule in _rules()],
        "sealed": [
            {"folder": folder, "model": model, "version": number}
            for folder, model, number in _sealed()
            .exclude(sealed_folder__folder="")
            .filter(sealed_folder__source=F("source"))
            .values_list("sealed_folder__folder", "model__name", "number")
            .order_by("model__name", "number")
        ],
        "webhooks": [],
        "probe": PROBE,
        "doctor": DOCTOR,
    }


def _rules() -> list[dict[str, Any]]:
    doctor = _rule(f"{DOCTOR}*", "Production", ["Production"], ["champion"], Enforcement.ENFORCE, policy.FALLBACK)
    return [doctor, *_rules_of_targets()]


def _rules_of_targets() -> Iterator[dict[str, Any]]:
    """Of each target that is not off: its policies in their order, and what applies to every other model."""
    policies = list(Policy.objects.current().exclude(target__enforcement=Enforcement.OFF))
    for target in Target.objects.current().exclude(enforcement=Enforcement.OFF):
        stages = [target.stage] if target.stage else []
        aliases = [target.alias] if target.alias else []
        found = [policy.Rule.from_json(each.terms) for each in policies if each.target_id == target.pk]
        for rule in (*found, policy.FALLBACK):
            pattern = rule.model_pattern if rule is not policy.FALLBACK else "*"
            yield _rule(pattern, target.name, stages, aliases, target.enforcement, rule)
            if pattern == "*":
                break


def _rule(
    pattern: str, target: str, stages: Sequence[str], aliases: Sequence[str], mode: str, rule: policy.Rule
) -> dict[str, Any]:
    return {
        "models": [pattern],
        "except": [],
        "target": target,
        "stages": list(stages),
        "aliases": list(aliases),
        "mode": str(mode),
        "words": f"it needs {policy_overview.approvals(rule)}",
    }


# --- Sealed folders ---------------------------------------------------------------------------------------------------


def _sealed() -> "QuerySet[ModelVersion]":
    """The versions that hold a target that is enforced, or are approved for one and on their way."""
    enforced = Target.objects.current().filter(enforcement=Enforcement.ENFORCE)
    stages, aliases = enforced.exclude(stage="").values("stage"), enforced.exclude(alias="").values("alias")
    named = Alias.objects.filter(model=OuterRef("model"), number=OuterRef("number"), name__in=aliases)
    owed = OutboxEntry.objects.open().filter(target__in=enforced).values("request__version")
    there = ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None)
    return there.filter(Q(stage__in=stages) | Exists(named) | Q(pk__in=owed))


def _look_up_folders(registry: Registry) -> None:
    """Asks MLflow where the files of versions lie that are to be sealed, once for each; for what it does not say, again
    after a while."""
    unknown = _sealed().exclude(sealed_folder__source=F("source")).select_related("model")
    asked = 0
    for version in unknown.order_by("pk"):
        if asked == MOST_LOOKED_UP:
            return
        source = hashlib.sha256(version.source.encode()).hexdigest()[:16]
        if not cache.add(key := f"gate-folder-{version.pk}-{source}", "asked", UNKNOWN_AGAIN):
            continue
        asked += 1
        try:
            folder = _folder(version.source) or _folder(registry.version_root(version.model.name, version.number))
        except (NotFound, Refused) as error:
            logger.warning("gate.folder_unknown", version=str(version), error=error.message)
            continue
        except RegistryError:  # MLflow is away: the next look asks
            cache.delete(key)
            return
        SealedFolder.objects.update_or_create(version=version, defaults={"source": version.source, "folder": folder})


def _folder(root: str) -> str:
    """Below what MLflow serves. "" for what it does not serve, and for a folder that others share: engineers name the
    addresses of versions, and must not have all of an experiment sealed."""
    folder = served_path(root) if is_served(root) else ""
    own = WORKSPACE.sub("", folder)
    return folder if own.count("/") >= FEWEST_PARTS - 1 else ""


# --- The signed text --------------------------------------------------------------------------------------------------


def _written(serial: int, at: datetime, found: Mapping[str, Any]) -> str:
    stamp = {"serial": serial, "issued_at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({**stamp, **found}, separators=(",", ":"))


def _said(feed: PolicyFeed) -> dict[str, Any]:
    """What a stored text says beside its serial and time."""
    found = dict(json.loads(feed.text)) if feed.text else {}
    return {key: value for key, value in found.items() if key not in ("serial", "issued_at")}


def _is_due(last: PolicyFeed, found: Mapping[str, Any], key: Ed25519PrivateKey) -> bool:
    is_old = last.issued_at is None or clock.now() - last.issued_at >= EVERY
    return is_old or bool(last.problem) or last.key != grants.public_key_of(key) or _said(last) != found


def _is_asked_for() -> bool:
    return Target.objects.current().exclude(enforcement=Enforcement.OFF).exists()


def _note(problem: str) -> None:
    if PolicyFeed.objects.current().problem != problem:
        PolicyFeed.objects.update_or_create(pk=1, defaults={"problem": problem})
