"""A test's place follows from what it tests: `tests/<room>/test_<module>.py`, or `test_<module>_<subject>.py`. A file
of another name begins with the words `The whole room.` or `Several rooms.`"""

from pathlib import Path

from registry_ui.demo.installation import ROOT

TESTS = ROOT / "tests"
OUTSIDE = {"e2e", "examples", "faults", "project", "servers", "upgrade"}
"""Whole installations, and the project itself."""
PLACES = {
    "countersign": "packages/countersign/countersign",
    "demo": "registry_ui/demo",
    "mlflow_gate": "packages/mlflow_gate/mlflow_gate",
}


def subject_of(path: Path) -> str:
    """The module, package or command whose name the file has; empty if there is none."""
    inside = path.relative_to(TESTS).parent.as_posix()
    room = ROOT / PLACES.get(inside, inside)
    words = path.stem.removeprefix("test_").split("_")
    for length in range(len(words), 0, -1):
        name = "_".join(words[:length])
        for place in (room, room / "commands", room / "templatetags"):
            if (place / f"{name}.py").exists() or (place / name / "__init__.py").exists():
                return name
        if name == room.name:
            return name
    return ""


def test_a_test_lies_where_its_name_is_looked_for() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in OUTSIDE]
    assert len(files) > 80
    astray = [
        path.relative_to(TESTS).as_posix()
        for path in files
        if not subject_of(path) and not path.read_text().startswith(('"""The whole room. ', '"""Several rooms. '))
    ]
    assert sorted(astray) == []
