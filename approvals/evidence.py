"""Freezes what a decision rests on and fingerprints it. Pure but for reading attributes of the rows it is given."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from approvals import provenance
from approvals.policy import Rule

OWN_TAG = "countersign."


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: the same facts give the same text everywhere."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(text: str) -> str:
    """SHA-256 of canonical JSON, hexadecimal (64 characters)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def numbers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Metric values as text, because databases rewrite JSON numbers (PostgreSQL turns 1e20 into an integer)."""
    return {key: value if isinstance(value, str) else repr(float(value)) for key, value in metrics.items()}


def version_facts(version: Any) -> dict[str, Any]:
    """The facts of a mirrored version that a reviewer relies on. Stage, aliases and our own notes are not among
    them."""
    return {
        "model": version.model.name,
        "number": version.number,
        "status": version.status,
        "source": version.source,
        "run_id": version.run_id,
        "logged_model_id": version.logged_model_id,
        "description": provenance.without_notes(version.description),
        "tags": {key: value for key, value in version.tags.items() if not key.startswith((OWN_TAG, "mlflow."))},
        "metrics": {key: value for key, value in numbers(version.metrics).items() if not key.startswith("system/")},
        "params": dict(version.params),
    }


def freeze(*, version: Any, champion: Any | None, target: Any, rule: Rule) -> str:
    """Canonical JSON of everything that is decided on: version, champion, target and rule."""
    return canonical(
        {
            "version": version_facts(version),
            "champion": None
            if champion is None
            else {
                "number": champion.number,
                "run_id": champion.run_id,
                "metrics": numbers(champion.metrics),
                "params": dict(champion.params),
            },
            "target": {
                "name": target.name,
                "stage": target.stage,
                "alias": target.alias,
                "archives_existing": target.archives_existing,
            },
            "rule": rule.as_json(),
        }
    )


def differences(before: str, after: str) -> list[str]:
    """What changed between two frozen evidences, each as a few words: `metric auc_roc`, `description`."""
    return _walk("", json.loads(before), json.loads(after))


def _walk(path: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}):
            found += _walk(f"{path}.{key}" if path else key, old.get(key), new.get(key))
        return found
    part, _, rest = path.removeprefix("version.").partition(".")
    return [f"{part.removesuffix('s')} {rest}" if rest else part.replace("_", " ")]
