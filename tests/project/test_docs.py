"""The documentation says what the code says: variables, statuses, actions, links, the version."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

from accounts import roles
from approvals.delivery import annotation
from approvals.models import Action, Status
from approvals.models.requests import MOVES, OPEN
from components.version import VERSION
from registry_ui import settings
from tests.project.test_boundaries import PACKAGES

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
WORKFLOW = (ROOT / "docs" / "workflow.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
OURS = re.compile(r"\b(?:COUNTERSIGN_[A-Z_]+|DATABASE_URL|CELERY_BROKER_URL|EMAIL_URL|MLFLOW_TRACKING_[UPT][A-Z]+)\b")

OF_A_PROVIDER = re.compile(r"COUNTERSIGN_OIDC_(?:CORP|PARTNER|OIDC)_(?=[A-Z])")
"""Of several, each has the same variables with its id in them."""


def section(page: str, heading: str) -> str:
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found, f"There is no section {heading!r}."
    return found[2]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the tables in a section, without their heads."""
    for line in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        if "---" not in cells[0] and cells[0].startswith("`"):
            yield cells


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# --- Settings


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    listed = [cells[0].strip("`") for cells in rows(section(OPERATIONS, "Environment"))]
    assert len(listed) == len(set(listed)), "A variable is listed twice."
    assert set(listed) == settings.env.names


def test_no_page_names_a_variable_that_nothing_reads() -> None:
    named = {name.removesuffix("_FILE") for page in PAGES for name in OURS.findall(page.read_text())}
    named = {OF_A_PROVIDER.sub("COUNTERSIGN_OIDC_", name) for name in named}
    assert named <= settings.env.names | compose_only() | gates_own() | clients_own()


def gates_own() -> set[str]:
    """Variables that the plugin reads, in the environment of MLflow's server."""
    return set(OURS.findall((ROOT / "packages" / "mlflow_gate" / "mlflow_gate" / "settings.py").read_text()))


def clients_own() -> set[str]:
    """Variables that the command `countersign` reads."""
    modules = (ROOT / "packages" / "countersign" / "countersign").glob("*.py")
    return {name for module in modules for name in OURS.findall(module.read_text())}


def test_every_variable_of_the_command_is_documented() -> None:
    assert {"COUNTERSIGN_URL", "COUNTERSIGN_TOKEN"} <= clients_own()
    table = {name for cells in rows((ROOT / "docs" / "command-line.md").read_text()) for name in code(cells[0])}
    assert clients_own() <= table


def test_every_variable_of_mlflows_gate_is_documented() -> None:
    assert gates_own() <= set(OURS.findall((ROOT / "docs" / "enforcement.md").read_text()))


def compose_only() -> set[str]:
    """Variables that docker-compose.yml itself uses; no process of Countersign reads them."""
    names = {cells[0].strip("`") for cells in rows(section(OPERATIONS, "Docker Compose"))}
    return {name for name in names if name.isupper()}


def test_the_example_file_sets_what_compose_reads_and_all_of_it_is_documented() -> None:
    read = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE))
    offered = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert offered == read
    assert read <= settings.env.names | compose_only()
    assert compose_only() <= read


# --- Statuses, actions, tags, roles, commands


def test_every_status_is_explained_with_its_label_and_what_can_follow() -> None:
    explained = {cells[0].strip("`"): cells for cells in rows(section(WORKFLOW, "Statuses"))}
    assert {name: cells[1] for name, cells in explained.items()} == {each.value: each.label for each in Status}
    follows = {source: {to for to, sources in MOVES.items() if source in sources} for source in Status}
    for status in Status:
        told = explained[status.value][3].replace("changes requested", "changes_requested")
        named = {each for each in Status if re.search(rf"\b{each.value}\b", told)}
        # A blocked request is submitted again from checking to checking; that is told in the text below the table.
        assert named == follows[status] - {status}, status


def test_the_statuses_that_the_page_calls_open_are_open() -> None:
    assert "The first four and `failed` are open" in WORKFLOW
    listed = [cells[0].strip("`") for cells in rows(section(WORKFLOW, "Statuses"))]
    assert {*listed[:4], "failed"} == set(OPEN)


def test_every_action_of_the_ledger_is_listed() -> None:
    listed = [name for cells in _action_rows() for name in code(cells[1])]
    assert sorted(listed) == sorted(Action.values)


def _action_rows() -> Iterator[list[str]]:
    for line in re.findall(r"^\|(.*)\|$", section(WORKFLOW, "History"), re.MULTILINE):
        yield [cell.strip() for cell in line.split("|")]


def test_every_tag_is_listed() -> None:
    listed = [cells[0].strip("`") for cells in rows(section(WORKFLOW, "What appears in MLflow"))]
    assert listed == [f"countersign.{name}" for name in annotation.TAGS]


def test_every_role_is_described() -> None:
    table = section(WORKFLOW, "Who does what")
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:] == list(roles.PERMISSIONS)


def test_every_documented_command_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"manage\.py (\w+)", page.read_text())}
    assert {"sweep", "verify_ledger", "create_admin", "migrate"} <= named
    assert named <= get_commands().keys()


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    command = re.compile(r"(?:`|^)make ([a-z-]+)(?=`|$| [A-Z])", re.MULTILINE)
    named = {name for page in PAGES for name in command.findall(page.read_text())}
    assert {"demo", "test"} <= named <= targets


# --- Version and links


def test_the_newest_version_of_the_changelog_is_this_one() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(heading for heading in headings[:2] if heading != "Unreleased") == VERSION


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{link} does not exist."
        if anchor:
            assert anchor in _anchors(target), f"{link}: there is no such heading."


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_decision_has_the_four_sections_and_the_next_number() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Status", "Context", "Decision", "Consequences"]


def test_every_path_of_ours_that_a_page_names_exists() -> None:
    """`approvals/policy/rules.py` and the like, in running text."""
    folders = "|".join([*PACKAGES, "tests", "tools", "docs", "templates", "examples", "deploy", "bench"])
    ours = re.compile(rf"`((?:{folders})/[\w./-]+|[\w-]+\.(?:toml|in|yml))`")
    for page in PAGES:
        for path in ours.findall(page.read_text()):
            assert (ROOT / path).exists(), f"{page.relative_to(ROOT)} names {path}."


def test_every_test_that_a_page_names_exists() -> None:
    named = {found for page in PAGES for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())}
    assert named
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"There is no {name} in {path}."


def test_the_tree_that_the_architecture_draws_is_the_one_there_is() -> None:
    tree = re.search(r"^```text\n(.*?)^```", section(ARCHITECTURE, "Packages"), re.DOTALL | re.MULTILINE)
    assert tree
    drawn: list[str] = []
    package = ""
    for line in tree[1].splitlines():
        found = re.fullmatch(r"( *)(\S+) {3,}\S.*", line)
        assert found, f"{line!r} does not say what lies there."
        package = package if found[1] else found[2]
        drawn.append(package + found[2] if found[1] else package)
    assert sorted(drawn) == sorted(rooms())


def rooms() -> Iterator[str]:
    """The packages and, one level down, what each holds: `mirror/`, `mirror/port.py`, `mirror/mlflow/`."""
    for package in PACKAGES:
        yield f"{package}/"
        for path in (ROOT / package).iterdir():
            if path.name in {"__init__.py", "apps.py", "migrations"}:
                continue
            if path.suffix == ".py":
                yield f"{package}/{path.name}"
            elif (path / "__init__.py").exists():
                yield f"{package}/{path.name}/"


def test_the_five_rules_name_every_room_of_the_gate() -> None:
    told = set(re.findall(r"\w+", section(ARCHITECTURE, "The five rules")))
    gate = {room.split("/")[1].removesuffix(".py") for room in rooms() if room.startswith("approvals/")}
    assert gate - {""} <= told


def test_every_dependency_has_its_reason() -> None:
    inputs = [(ROOT / name).read_text() for name in ("requirements.in", "requirements-runtime.in")]
    wanted = re.findall(r"^([a-z0-9-]+)", "\n".join(inputs), re.MULTILINE)
    wanted.remove("-r")
    reasons = (ROOT / "docs" / "adr" / "0007-dependencies.md").read_text()
    named = {name for cells in rows(reasons) for name in code(cells[0])}
    assert set(wanted) == named
