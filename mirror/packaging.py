"""Reads what lies beside a model's weights: MLmodel, requirements, input example. Text in, facts out; nothing is
imported, unpickled or executed. Pure, and imports nothing of Countersign: `sandbox` runs this file as a program.

The text is a person's: YAML's references and merge keys make a small file endless, and both formats know values that
no database stores. So YAML is counted before anything is built of it, and everything goes through `_Plainer`, which
counts.
"""

import base64
import contextlib
import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

import yaml

MLMODEL, REQUIREMENTS = "MLmodel", "requirements.txt"
LARGEST = 1_000_000
"""Bytes of a file that is read; a larger one is hashed, but not shown."""

LONGEST_EXAMPLE = 4_000
MOST_VALUES, DEEPEST = 100_000, 40
"""In all of MLmodel. The signature of a table with 10,000 columns is within it."""

MOST_CHARACTERS = 4_000_000
MOST_ALIASES = 1_000
CPU_SECONDS, MEMORY = 10, 512 * 1024 * 1024
"""Of the program that reads."""

LARGEST_INTEGER = 2**63 - 1
UNTELLING = {"code", "model_code_path", "env", "config", "resources"}
"""Keys of a flavor that say nothing about what is decided."""

UNREADABLE = "The MLmodel file is not readable YAML."


def small_files(paths: set[str]) -> set[str]:
    """Which of these files are read besides being hashed."""
    return paths & {MLMODEL, REQUIREMENTS, "input_example.json", "serving_input_example.json"}


def read(texts: Mapping[str, bytes]) -> tuple[dict[str, Any] | None, str]:
    """What the files say (see the evidence's `packaging`), and a sentence about what could not be read.

    `texts` are the bytes of `small_files`. None when there is no MLmodel, which is what makes a folder a model.
    """
    if MLMODEL not in texts:
        return None, "The version has no MLmodel file of readable size, so its signature and flavors are not known."
    try:
        text = _text(texts[MLMODEL])
        _count(text)
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 -- SafeLoader, in C where there is one
        if not isinstance(raw, dict):
            return None, "The MLmodel file does not say what MLflow writes into it."
        return _facts(raw, texts), ""
    except _TooMuchError:
        return None, "The MLmodel file says more than can be shown."
    except _MergedError:
        return (
            None,
            "The MLmodel file has YAML merge keys (<<), which MLflow never writes and Countersign does not read.",
        )
    except Exception:  # PyYAML lets errors of Python's own constructors through: ValueError, TypeError, AttributeError
        return None, UNREADABLE


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


def _count(text: str) -> None:
    """Goes through the file once without building anything of it. Raises _TooMuchError or _MergedError."""
    nodes = aliases = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
        if is_merge or getattr(event, "tag", None) == _MERGE:
            raise _MergedError
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if nodes > MOST_VALUES or aliases > MOST_ALIASES or depth > DEEPEST:
            raise _TooMuchError


def is_table(content: bytes) -> bool:
    """Whether it is what `log_table` writes ({"columns": […], "data": [[…], …]}), or a list of records."""
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if isinstance(read, dict):
        return isinstance(read.get("columns"), list) and isinstance(read.get("data"), list)
    return isinstance(read, list) and bool(read) and all(isinstance(each, dict) for each in read)


def _facts(raw: dict[Any, Any], texts: Mapping[str, bytes]) -> dict[str, Any]:
    plain = _Plainer()
    flavors = _mapping(raw.get("flavors"))
    python = _mapping(flavors.get("python_function"))
    names = sorted(name for name in flavors if isinstance(name, str))
    size = plain(raw.get("model_size_bytes"))
    return {
        "signature": _signature(raw.get("signature"), plain),
        "input_example": _example(texts),
        "flavors": {_clean(name): _flavor(flavors[name], plain) for name in names},
        "requirements": _requirements(texts.get(REQUIREMENTS, b"")),
        "python_version": plain.text(python.get("python_version")),
        "model_size_bytes": size if type(size) is int else None,
    }


def _mapping(raw: Any) -> dict[Any, Any]:
    return raw if isinstance(raw, dict) else {}


def _signature(raw: Any, plain: "_Plainer") -> dict[str, Any] | None:
    """MLflow writes each part as JSON inside the YAML: a list of columns or tensors."""
    if not isinstance(raw, dict):
        return None
    return {part: _parsed(raw.get(part), plain) for part in ("inputs", "outputs", "params")}


def _parsed(raw: Any, plain: "_Plainer") -> list[Any]:
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        return []
    return [plain(each) for each in found] if isinstance(found, list) else []


def _flavor(raw: Any, plain: "_Plainer") -> dict[str, Any]:
    if not isinstance(raw, dict):
        return {}
    return {plain.text(key): plain(value) for key, value in raw.items() if key not in UNTELLING and value is not None}


def _requirements(raw: bytes) -> list[str]:
    lines = (line.strip() for line in _text(raw).splitlines())
    return sorted({line for line in lines if line and not line.startswith("#")})[:MOST_VALUES]


def _example(texts: Mapping[str, bytes]) -> str | None:
    for name in ("input_example.json", "serving_input_example.json"):
        if name in texts:
            text = _text(texts[name])
            return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"
    return None


class _TooMuchError(Exception):
    pass


class _MergedError(Exception):
    pass


class _Plainer:
    """Makes values plain: text, 64-bit integers, booleans, None, lists and dicts. Numbers with a point become text."""

    def __init__(self) -> None:
        self._left, self._characters = MOST_VALUES, MOST_CHARACTERS

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise _TooMuchError
        if isinstance(value, dict):
            return {self.text(key): self(each, depth + 1) for key, each in value.items()}
        if isinstance(value, set):  # Python orders it differently each time
            return sorted(map(self.text, value))
        if isinstance(value, list | tuple):
            return [self(each, depth + 1) for each in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if abs(value) <= LARGEST_INTEGER else "a very large number"
        text = _clean(str(value))
        self._characters -= len(text)  # an alias is a few characters in the file, and all of them in what is kept
        if self._characters < 0:
            raise _TooMuchError
        return text

    def text(self, value: Any) -> str:
        """A name or a version number as text; "" for what is neither."""
        found = self(value)
        return "" if found is None or isinstance(found, dict | list) else str(found)


def _text(raw: bytes) -> str:
    return _clean(raw.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    """Without NUL and lone surrogates, which databases cannot store."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


# --- As a program -----------------------------------------------------------------------------------------------------


def _main() -> None:
    """[question, {name: bytes in base 64}] as JSON on standard input; the answer as JSON on standard output."""
    for limit, value in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(
            ValueError, OSError
        ):  # a system that does not know it; the time is limited all the same
            resource.setrlimit(limit, (value, value))
    question, told = json.load(sys.stdin)
    texts = {name: base64.b64decode(text) for name, text in told.items()}
    json.dump(read(texts) if question == "read" else is_table(texts[""]), sys.stdout)


if __name__ == "__main__":
    _main()
