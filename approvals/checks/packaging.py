"""Checks on how the model is packed: its signature, and the format its weights are saved in."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from approvals.checks.kinds import Evidence, Field, Kind, Settings

PICKLES = {"pickle", "cloudpickle", "joblib", "dill"}
PICKLED_SUFFIXES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"}
"""Files that run code when they are loaded, by what they are called."""


def _packaging(evidence: Evidence, whose: str) -> Mapping[str, Any] | None:
    found = (evidence.get(whose) or {}).get("packaging")
    return found if isinstance(found, Mapping) else None


def _present(_: Settings, evidence: Evidence, __: date) -> tuple[str, str]:
    packaging = _packaging(evidence, "version")
    if packaging is None:
        return "fail", "The version's MLmodel file has not been read."
    if not packaging.get("signature"):
        return "fail", "The model has no signature. Pass one, or an input example, to log_model."
    return "pass", "The model has a signature."


def _compatible(_: Settings, evidence: Evidence, __: date) -> tuple[str, str]:
    """Anyone who calls the champion can call the challenger: no new required input, no other type, no output less."""
    mine, champion = _packaging(evidence, "version"), _packaging(evidence, "champion")
    if evidence.get("champion") is None:
        return "pass", "Nothing holds the target, so there is nothing to be compatible with."
    theirs = (champion or {}).get("signature")
    if not theirs:
        return "warn", "The champion has no signature, so it cannot be compared."
    signature = (mine or {}).get("signature")
    if not signature:
        return "fail", "The champion has a signature and this version has none."
    problems = [*_inputs(signature, theirs), *_outputs(signature, theirs)]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        return "fail", f"Not compatible with the champion's signature: {'; '.join(problems[:4])}{more}."
    return "pass", "Compatible with the champion's signature."


def _inputs(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    old, new = _columns(theirs.get("inputs")), _columns(mine.get("inputs"))
    for name, column in new.items():
        if name not in old:
            if column.get("required", True):
                yield f"it needs the new input {name}"
        elif _type(column) != _type(old[name]):
            yield f"the input {name} is {_type(column)} and was {_type(old[name])}"
        elif column.get("required", True) and not old[name].get("required", True):
            yield f"the input {name} is required now"
    known = _columns(theirs.get("params"))
    for name in known:
        if name not in _columns(mine.get("params")):
            yield f"the parameter {name} is gone"


def _outputs(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    new = _columns(mine.get("outputs"))
    for name, column in _columns(theirs.get("outputs")).items():
        if name not in new:
            yield f"the output {name} is gone"
        elif _type(new[name]) != _type(column):
            yield f"the output {name} is {_type(new[name])} and was {_type(column)}"


def _columns(raw: Any) -> dict[str, Mapping[str, Any]]:
    columns = [each for each in raw or () if isinstance(each, Mapping)]
    return {str(each.get("name", f"number {place}")): each for place, each in enumerate(columns, start=1)}


def _type(column: Mapping[str, Any]) -> str:
    spec = column.get("tensor-spec")
    if isinstance(spec, Mapping):
        return f"tensor of {spec.get('dtype')} {spec.get('shape')}"
    return str(column.get("type", "of no type"))


def _serialization(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    packaging = _packaging(evidence, "version")
    if packaging is None:
        return "fail", "The version's MLmodel file has not been read."
    allowed = {word.lower() for word in settings["allowed"]}
    formats = {str(flavor["serialization_format"]).lower() for flavor in packaging["flavors"].values()
               if isinstance(flavor, Mapping) and flavor.get("serialization_format")}  # fmt: skip
    manifest = (evidence["version"].get("files") or {}).get("manifest", ())
    pickled = [path for path, *_ in manifest if PurePosixPath(path).suffix.lower() in PICKLED_SUFFIXES]
    is_pickled = bool(formats & PICKLES or pickled)
    if is_pickled and not allowed & PICKLES:
        named = ", ".join(pickled[:3]) or ", ".join(sorted(formats & PICKLES))
        return "fail", f"The model is pickled ({named}): loading it runs whatever code is in it."
    if strange := sorted(formats - allowed - (PICKLES if allowed & PICKLES else set())):
        return "fail", f"The model is saved as {', '.join(strange)}; allowed is {', '.join(sorted(allowed))}."
    return "pass", f"The model is saved as {', '.join(sorted(formats)) or 'its flavor does it, and not pickled'}."


KINDS = (
    Kind(
        key="signature_present",
        label="Signature",
        description="The model says what goes in and what comes out.",
        fields=(),
        judge=_present,
    ),
    Kind(
        key="signature_compatible",
        label="Signature fits the champion's",
        description="Callers of the champion can call this version.",
        fields=(),
        judge=_compatible,
    ),
    Kind(
        key="serialization",
        label="Serialization format",
        description="The weights are saved in a format that is allowed; a pickle runs code when it is loaded.",
        fields=(
            Field(
                "allowed",
                "Allowed formats",
                "list",
                default=["skops", "onnx", "safetensors", "json"],
                help="Separated by commas; pickle allows every kind of pickle.",
            ),
        ),
        judge=_serialization,
    ),
)
