"""Where the product refuses something to a person: each call of `policy.no`, read from the source."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CALL = re.compile(r"\bno\(")


@dataclass(frozen=True, order=True)
class Place:
    function: str
    code: str
    """"" where it is not written out."""

    def __str__(self) -> str:
        return f"{self.function}:{self.code}"


def places() -> list[Place]:
    """All of `approvals/`, in the order of files and lines."""
    texts = [path.read_text() for path in sorted((ROOT / "approvals").rglob("*.py"))]
    return [place for text in texts if CALL.search(text) for place in _in(ast.parse(text))]


def _in(module: ast.Module) -> Iterator[Place]:
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _name(call.func) == "no":
                first = call.args[0]
                yield Place(function.name, str(first.value) if isinstance(first, ast.Constant) else "")


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
