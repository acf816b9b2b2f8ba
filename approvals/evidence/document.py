"""Freezes what a decision rests on, fingerprints it, and says what changed. Pure but for reading the rows it is given.

The evidence is one JSON document of version, champion, target, rule and reason. Its leaves are text, integers, booleans
and None: databases rewrite JSON floats. No time-stamp is in it, so reading the same facts again gives the same bytes.

A document without `_format` is from before metrics were kept for each data set. What was signed then is held against
the facts read the same way, so that an upgrade changes nothing.
"""

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from django.db.models import QuerySet

from approvals.evidence import approval_note
from approvals.policy import PARTS, Rule
from mirror import composed, lineage, measures
from mirror.models import Exhibit, Inspection, ModelVersion

FORMAT = 2
OWN_TAG = "countersign."
LONGEST_NOTE = 20_000
"""Characters of a run's description that are frozen as they are; of a longer one, the beginning and a digest."""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
"""Made once: `json.dumps` makes one for each call."""


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: the same facts give the same text everywhere."""
    return _CANONICAL.encode(value)


def fingerprint(text: str) -> str:
    """SHA-256 of canonical JSON, hexadecimal (64 characters)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --- Freezing ---------------------------------------------------------------------------------------------------------


def freeze(
    *,
    version: Any,
    champion: Any | None,
    target: Any,
    rule: Rule,
    justification: str,
    files: Mapping[str, Any] | None = None,
    early: bool = False,
) -> str:
    """Canonical JSON of everything that is decided on. Of the champion, the same facts but for its files. `files`
    stand instead of those that were read last: a rollback is held to the bytes that were approved. `early` writes a
    document as it was before there was a format."""
    facts = version_facts(version, rule, early=early)
    return canonical(
        {
            **({} if early else {"_format": FORMAT}),
            "version": facts if files is None else {**facts, "files": files},
            "champion": None if champion is None else champion_facts(champion, rule, early=early),
            "target": {
                "name": target.name,
                "stage": target.stage,
                "alias": target.alias,
                "archives_existing": target.archives_existing,
            },
            "justification": justification,
            "rule": rule.as_json(),
        }
    )


def is_early(frozen: str) -> bool:
    """Whether it is a document from before there was a format. Its keys are sorted, so the format is the first."""
    return bool(frozen) and not frozen.startswith('{"_format":')


def as_before(frozen: str, before: str) -> str:
    """The document as the version that wrote `before` would have written it: without facts that it did not know, with
    those that are not read any more, and with its own words for the same rule. What was asked and signed under an
    earlier version stays what it was."""
    new, old = json.loads(frozen), json.loads(before)
    known = _keys(old)
    for part in ("version", "champion", "target"):
        if isinstance(new.get(part), dict) and isinstance(old.get(part), dict):
            same = new[part].get("number") == old[part].get("number")
            gone = {key: value for key, value in old[part].items() if same and key not in new[part]}
            new[part] = {key: value for key, value in new[part].items() if key in known[part]} | gone
    if _is_same_rule(old.get("rule"), new.get("rule")):
        new["rule"] = old["rule"]
    return canonical({key: value for key, value in new.items() if key in old})


def _keys(frozen: Mapping[str, Any]) -> dict[str, set[str]]:
    """Of the champion the keys that it has, or where there was none those of the version."""
    version, champion = set(frozen.get("version") or {}), set(frozen.get("champion") or {})
    return {"version": version, "champion": champion or version, "target": set(frozen.get("target") or {})}


def _is_same_rule(old: Any, new: Any) -> bool:
    """Keys that a rule did not have yet mean what it is without them."""
    try:
        return Rule.from_json(old) == Rule.from_json(new)
    except (AttributeError, KeyError, TypeError):
        return False


def version_facts(version: Any, rule: Rule, *, early: bool = False) -> dict[str, Any]:
    """The facts of a mirrored version that a reviewer relies on. Stage, aliases and our own notes are not among
    them."""
    inspection = _inspection(version)
    return {
        "model": version.model.name,
        "number": version.number,
        "status": version.status,
        "source": version.source,
        "run_id": version.run_id,
        "logged_model_id": version.logged_model_id if early else lineage.logged_model_id(version),
        "contributors": contributors(version, rule.contributor_tags),
        "files": inspection.files if inspection else None,
        "exhibits": dict(composed.rows(_exhibits, version.pk)) if inspection else {},
        **_shared_facts(version, rule, early=early),
    }


def _inspection(version: Any) -> Inspection | None:
    """As the version's own attribute has it, which asks once."""
    related = ModelVersion._meta.get_field("inspection")  # noqa: SLF001  Django's public name for it
    if not related.is_cached(version):
        related.set_cached_value(version, next(iter(composed.objects(_looks, version.pk)), None))
    return cast(Inspection | None, related.get_cached_value(version))


def _looks(version: int) -> QuerySet[Inspection]:
    return Inspection._base_manager.filter(version=version)  # noqa: SLF001  as relations do


def _exhibits(version: int) -> QuerySet[Exhibit, Any]:
    return Exhibit.objects.filter(version=version).values_list("path", "sha256")


def champion_facts(champion: Any, rule: Rule, *, early: bool = False) -> dict[str, Any]:
    return {"number": champion.number, "run_id": champion.run_id, **_shared_facts(champion, rule, early=early)}


def _shared_facts(version: Any, rule: Rule, *, early: bool) -> dict[str, Any]:
    inspection = _inspection(version)
    run_tags = version.run.get("tags") or {}
    metrics, params = (
        _read_early(version, kind) if early else getattr(version, kind) for kind in ("metrics", "params")
    )
    return {
        **({} if early else {"measured_on": _measured_on(version)}),
        "description": approval_note.without_notes(version.description),
        "run_description": _bounded(str(run_tags.get("mlflow.note.content") or "")),
        "tags": {key: value for key, value in version.tags.items() if _is_watched(key, rule.watched_tags)},
        "metrics": {key: value for key, value in numbers(metrics).items() if not key.startswith("system/")},
        "params": dict(params),
        "datasets": [dict(each) for each in lineage.datasets(version)],
        "provenance": lineage.known(version) | ({} if early else lineage.origin(version)),
        "packaging": inspection.packaging if inspection else None,
    }


def _read_early(version: Any, kind: str) -> dict[str, Any]:
    """Metrics or params as they were read before there was a format: see mirror.facts."""
    changes = version.fact_sources.get("early", {}).get(kind, {})
    found = {name: value for name, value in getattr(version, kind).items() if measures.key_of(name) == name}
    return {name: value for name, value in (found | changes).items() if value is not None}


def _measured_on(version: Any) -> dict[str, dict[str, str]]:
    """Of the metrics that belong to a data set: key, name and digest of the data set."""
    return {
        name: {part: str(each[part]) for part in ("key", "dataset", "digest")}
        for name, each in version.fact_sources.get("metrics", {}).items()
        if "key" in each and not name.startswith("system/")
    }


def numbers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Metric values as text, because databases rewrite JSON numbers (PostgreSQL turns 1e20 into an integer)."""
    return {key: value if isinstance(value, str) else repr(float(value)) for key, value in metrics.items()}


def contributors(version: Any, tags: Iterable[str]) -> list[str]:
    """The names, as MLflow has them, of anyone who owns the run or logged the model, and of those whom the tags name.
    MLflow does not keep who registered a version."""
    run, logged_model = version.run, version.run.get("logged_model") or {}
    named = [str(run.get("user") or ""), str((logged_model.get("tags") or {}).get("mlflow.user") or "")]
    for tag in tags:
        for values in (version.tags, run.get("tags") or {}):
            named += str(values.get(tag) or "").split(",")
    return sorted({name.strip() for name in named} - {""})


def _is_watched(tag: str, patterns: Sequence[str]) -> bool:
    if tag.startswith((OWN_TAG, "mlflow.")):
        return False
    return any(fnmatch.fnmatchcase(tag, pattern) for pattern in patterns)


def _bounded(text: str) -> str:
    if len(text) <= LONGEST_NOTE:
        return text
    return f"{text[:LONGEST_NOTE]}\n… ({len(text):,} characters in all, SHA-256 {fingerprint(text)})"


# --- Parts ------------------------------------------------------------------------------------------------------------


def part_digests(frozen: str) -> dict[str, str]:
    """SHA-256 of each part (policy.PARTS, and `request`): what a sign-off is held against when something changes."""
    found = json.loads(frozen)
    facts = found["version"]
    parts = {
        "request": [
            *(facts.get(key) for key in ("model", "number", "status", "source", "run_id", "logged_model_id")),
            facts.get("contributors", []),
            found["target"],
            found.get("justification", ""),
            found["rule"],
        ],
        "metrics": [facts["metrics"], facts["measured_on"]] if facts.get("measured_on") else facts["metrics"],
        "params": facts["params"],
        "tags": facts["tags"],
        "description": [facts["description"], facts.get("run_description", "")],
        "data": [facts.get("datasets", []), facts.get("provenance", {})],
        "packaging": facts.get("packaging"),
        "files": facts.get("files"),
        "exhibits": facts.get("exhibits", {}),
        "champion": found["champion"],
    }
    return {part: fingerprint(canonical(value)) for part, value in parts.items()}


def changed_parts(before: Mapping[str, str], after: Mapping[str, str]) -> frozenset[str]:
    """Which parts differ between two results of `part_digests`; a part that one does not have differs."""
    return frozenset(part for part in (*PARTS, "request") if before.get(part) != after.get(part))


# --- What changed -----------------------------------------------------------------------------------------------------


def differences(before: str, after: str) -> list[str]:
    """What changed between two frozen evidences, each as a few words: `metric auc_roc`, `file model.skops`."""
    old, new = json.loads(before), json.loads(after)
    old_files, new_files = _manifest(old), _manifest(new)
    files = [f"file {name}" for name in sorted({*old_files, *new_files}) if old_files.get(name) != new_files.get(name)]
    if not files and old["version"].get("files") != new["version"].get("files"):
        files = ["model files"]
    return [*_walk("", _without_files(old), _without_files(new)), *files]


def _manifest(found: Mapping[str, Any]) -> dict[str, Any]:
    files = found["version"].get("files") or {}
    return {path: digest for path, _, digest in files.get("manifest", ())}


def _without_files(found: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in found["version"].items() if key != "files"}
    return {**found, "version": facts}


def _walk(path: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if path == "champion" and _held(old) != _held(new):
        return [f"champion ({_held(old)} → {_held(new)})"]
    if path.endswith("version.measured_on") or path == "champion.measured_on":
        whose = "the champion's " if path.startswith("champion") else ""
        names = sorted(name for name in {*(old or {}), *(new or {})} if (old or {}).get(name) != (new or {}).get(name))
        return [f"{whose}data set of {name}" for name in names]
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}):
            found += _walk(f"{path}.{key}" if path else key, old.get(key), new.get(key))
        return found
    whose = "the champion's " if path.startswith("champion.") else ""
    part, _, rest = path.removeprefix("champion.").removeprefix("version.").partition(".")
    return [whose + (f"{part.removesuffix('s')} {rest}" if rest else part.replace("_", " "))]


def _held(champion: Any) -> str:
    return f"version {champion['number']}" if champion else "nothing"
