"""The module graph of the project's own packages: no import runs back up, no modules stand in a circle, and the top of
`approvals` stays readable. It counts every import, in functions and for types too; `from room import module` is an
import of the module, and a name taken from a room's `__init__` is an import of all that it re-exports."""

import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

from registry_ui.demo.installation import ROOT

PACKAGES = ("accounts", "mirror", "components", "approvals", "api", "registry_ui")


@pytest.fixture
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def circle(graph: grimp.ImportGraph) -> list[str]:
    """One circle of modules, as the imports that close it; none if there is none."""
    try:
        TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()
    except CycleError as error:
        names: list[str] = error.args[1][::-1]
        return [line(graph, *pair) for pair in pairwise(names)]
    return []


def line(graph: grimp.ImportGraph, importer: str, imported: str) -> str:
    found = graph.get_import_details(importer=importer, imported=imported)[0]
    return f"{importer}:{found['line_number']}: {found['line_contents'].strip()}"


def storeys() -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """The first two rules as pyproject.toml spells them: {room: its line from above, and its place in a line whose
    rooms do not import each other}, each with the package that it divides."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts[:2]:
        container = contract.get("containers", [""])[0]
        places = {}
        for number, layer in enumerate(contract["layers"]):
            for place, rooms in enumerate(layer.split(" | ")):
                for room in rooms.split(" : "):
                    places[f"{container}.{room}".lstrip(".")] = number, place
        yield container, places


def test_no_import_runs_back_up(graph: grimp.ImportGraph) -> None:
    (_, packages), (_, rooms) = storeys()
    assert set(packages) == set(PACKAGES)
    assert len(rooms) > 20
    wrong = []
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            for depth, places in ((1, packages), (2, rooms)):
                here, there = (".".join(name.split(".")[:depth]) for name in (importer, imported))
                if here == there or not {here, there} <= places.keys():
                    continue
                if places[there][0] <= places[here][0] and places[there] != places[here]:
                    wrong.append(line(graph, importer, imported))
    assert sorted(wrong) == []


def test_no_modules_stand_in_a_circle(graph: grimp.ImportGraph) -> None:
    assert circle(graph) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"one.py": "from planted import two\n", "two.py": "def later():\n    from planted.one import name\n"},
            ["planted.one:1: from planted import two", "planted.two:2: from planted.one import name"],
        ),
        (
            {"__init__.py": "from planted.one import name\n", "one.py": "from planted import two, other\n"},
            ["planted.one:1: from planted import two, other", "planted:1: from planted.one import name"],
        ),
        ({"__init__.py": "from planted.one import name\n", "one.py": "from planted import two\n"}, []),
    ],
    ids=["in a function", "through the room's own __init__", "a module of the same room is none"],
)
def test_a_circle_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: list[str]
) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    for name, source in ({"__init__.py": "", "one.py": "", "two.py": ""} | files).items():
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert sorted(circle(grimp.build_graph("planted", cache_dir=None))[:2]) == expected


def test_beside_the_rooms_of_the_gate_lie_at_most_four_modules() -> None:
    modules = {path.name for path in (ROOT / "approvals").glob("*.py")} - {"__init__.py"}
    assert len(modules) <= 4, modules
