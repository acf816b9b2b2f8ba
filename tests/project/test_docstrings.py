"""Whoever calls a public function reads in its docstring what it raises. Nobody calls a view or a resource of the
API: `approvals.views.shared` and `api.problems` say how what they raise is answered."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_ui.demo.installation import ROOT
from tests.project.test_boundaries import SOURCES

FRAMEWORKS = {
    *("Http404", "PermissionDenied", "ValidationError", "CommandError"),
    *("ImmediateHttpResponse", "ReauthenticationRequired"),
}
"""Django and django-allauth say where these are raised and what they mean."""

REFUSE = {"require", "shared.require", "move", "shared.move"}
"""Calls of `approvals.workflow.shared` that raise: NotAllowed the one, Conflict the other."""

ON_THE_PORT = {"MlflowRegistry", "MlflowSetup"}
"""Their methods are those of `mirror.port.Registry`, which says what each raises."""


def public_functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in ON_THE_PORT:
            yield from public_functions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{within}{node.name}", node


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All that a function does itself, without the functions that it only defines."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_nodes(child)


def raises(function: ast.FunctionDef) -> set[str]:
    """What it raises by name, `raise` alone left out: that goes on with what came."""
    found: set[str] = set()
    for node in own_nodes(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found.add(ast.unparse(raised).rpartition(".")[2])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in REFUSE:
            found.add(f"{ast.unparse(node.func)}()")
    return found - FRAMEWORKS


def silent(path: Path) -> list[str]:
    return [
        f"{path}: {name} ({', '.join(sorted(raised))})"
        for name, function in public_functions(ast.parse(path.read_text()).body)
        if (raised := raises(function)) and "raises" not in (ast.get_docstring(function) or "").lower()
    ]


def test_every_public_function_that_raises_says_so() -> None:
    called = [
        path for path in SOURCES if not {"migrations", "views", "resources", "demo"} & set(path.relative_to(ROOT).parts)
    ]
    assert len(called) > 200
    assert [line for path in called for line in silent(path)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    raise Invalid('x')", 1),
        ("def f():\n    '''Raises Invalid.'''\n    raise workflow.Invalid('x')", 0),
        ("def f():\n    require(answer)", 1),
        ("class C:\n    def f(self):\n        if 1:\n            raise Stop", 1),
        ("def _f():\n    raise Stop", 0),
        ("def f():\n    try:\n        g()\n    except Stop:\n        raise", 0),
        ("def f():\n    raise Http404", 0),
        ("def f():\n    def read():\n        raise Stop\n    return read", 0),
    ],
)
def test_what_does_not_say_so_is_found(tmp_path: Path, source: str, found: int) -> None:
    (tmp_path / "module.py").write_text(source)
    assert len(silent(tmp_path / "module.py")) == found
