"""Reads what stands beside a model's weights: MLmodel, requirements, input example. Text in, facts out; nothing is
imported, unpickled or executed. Pure."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

MLMODEL, REQUIREMENTS = "MLmodel", "requirements.txt"
LARGEST = 1_000_000
"""Bytes of a file that is read; a larger one is hashed, but not shown."""

LONGEST_EXAMPLE = 4_000
UNTELLING = {"code", "model_code_path", "env", "config", "resources"}
"""Keys of a flavor that say nothing about what is decided."""


def small_files(paths: set[str]) -> set[str]:
    """Which of these files are read besides being hashed."""
    return paths & {MLMODEL, REQUIREMENTS, "input_example.json", "serving_input_example.json"}


def read(texts: Mapping[str, bytes]) -> tuple[dict[str, Any] | None, str]:
    """What the files say (see the evidence's `packaging`), and a sentence about what could not be read.

    `texts` are the bytes of `small_files`. None when there is no MLmodel, which is what makes a folder a model.
    """
    if MLMODEL not in texts:
        return None, "The version has no MLmodel file, so its signature and flavors are not known."
    try:
        raw = yaml.safe_load(_text(texts[MLMODEL]))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None, "The MLmodel file is not readable YAML."
    if not isinstance(raw, dict):
        return None, "The MLmodel file does not say what MLflow writes into it."
    flavors = _mapping(raw.get("flavors"))
    python = _mapping(flavors.get("python_function"))
    size = raw.get("model_size_bytes")
    return {
        "signature": _signature(raw.get("signature")),
        "input_example": _example(texts),
        "flavors": {str(name): _flavor(value) for name, value in sorted(flavors.items(), key=str)},
        "requirements": _requirements(texts.get(REQUIREMENTS, b"")),
        "python_version": str(python.get("python_version") or ""),
        "model_size_bytes": size if isinstance(size, int) else None,
    }, ""


def _mapping(raw: Any) -> dict[Any, Any]:
    return raw if isinstance(raw, dict) else {}


def _signature(raw: Any) -> dict[str, Any] | None:
    """MLflow writes each part as JSON inside the YAML: a list of columns or tensors."""
    if not isinstance(raw, dict):
        return None
    return {part: _parsed(raw.get(part)) for part in ("inputs", "outputs", "params")}


def _parsed(raw: Any) -> list[Any]:
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        return []
    return _plain(found) if isinstance(found, list) else []


def _flavor(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        return {}
    return {str(key): _plain(value) for key, value in raw.items() if key not in UNTELLING and value is not None}


def _requirements(raw: bytes) -> list[str]:
    lines = (line.strip() for line in _text(raw).splitlines())
    return sorted({line for line in lines if line and not line.startswith("#")})


def _example(texts: Mapping[str, bytes]) -> str | None:
    for name in ("input_example.json", "serving_input_example.json"):
        if name in texts:
            text = _text(texts[name])
            return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"
    return None


def _plain(value: Any) -> Any:
    """Text, integers, booleans, None, lists and dicts alone; numbers with a point become text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
