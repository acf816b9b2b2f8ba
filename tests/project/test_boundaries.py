"""Lines that the code must not cross: who imports whom, what the web process loads, what a page may contain."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.migrations import AddField, AlterField
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Field
from django.template import engines
from django.urls import URLPattern, URLResolver, get_resolver

from approvals.migrations._together import Together
from registry_ui.demo.installation import ROOT

PACKAGES = ("accounts", "mirror", "components", "approvals", "api", "registry_ui")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TEMPLATES = sorted(
    path
    for folder in (ROOT / "templates", *(ROOT / package for package in PACKAGES))
    for path in folder.rglob("*")
    if path.suffix in {".html", ".txt"}
    and (folder.name == "templates" or "templates" in path.parts)
    and path.parent
    != ROOT / "templates" / "approvals" / "notifications"  # mails: no policy applies, and readers know no style sheets
)


# --- Imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_every_import_goes_the_way_that_pyproject_says() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


CROSSINGS = [
    ("accounts/models.py", "import components", "1. The storeys"),
    ("mirror/sync.py", "import approvals.models", "1. The storeys"),
    ("mirror/sync.py", "import accounts.models", "1. The storeys"),
    ("approvals/views/inbox.py", "import registry_ui.views", "1. The storeys"),
    ("approvals/views/inbox.py", "import api.v1", "1. The storeys"),
    ("approvals/policy/rules.py", "import approvals.workflow", "2. The rooms of the gate"),
    ("approvals/selectors/inbox.py", "import approvals.workflow", "2. The rooms of the gate"),
    ("registry_ui/views/registry.py", "import mlflow", "3a. Only the adapter and the demo know MLflow"),
    ("approvals/views/inbox.py", "import sklearn", "3a. Only the adapter and the demo know MLflow"),
    ("mirror/sync.py", "import mirror.mlflow.client", "3b. Only mirror.connect opens the adapter"),
    ("registry_ui/views/registry.py", "import mirror.port", "3c. No page talks to the registry"),
    ("approvals/views/requests.py", "import approvals.delivery", "3c. No page talks to the registry"),
    (
        "approvals/forms/requests.py",
        "import approvals.ledger",
        "4. Only those who write, show or verify the ledger",
    ),
    ("registry_ui/health.py", "import registry_ui.demo.people", "5. Nothing that runs imports the demo"),
]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of each contract once every import above stands in a copy: it reads the code once."""
    folder = tmp_path_factory.mktemp("crossings")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module, forbidden, _ in CROSSINGS:
        with (folder / module).open("a") as source:
            source.write(f"\n{forbidden}\n")
    done = lint_imports(folder)
    assert done.returncode == 1, done.stdout
    _, *told = re.split(r"^(\S.*)\n-+\n", done.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(told[::2], told[1::2], strict=True))


@pytest.mark.parametrize(("module", "forbidden", "contract"), CROSSINGS)
def test_an_import_that_crosses_a_line_is_found(
    broken: dict[str, str], module: str, forbidden: str, contract: str
) -> None:
    importer, imported = module.removesuffix(".py").replace("/", "."), forbidden.removeprefix("import ")
    (said,) = [text for name, text in broken.items() if name.startswith(contract)]
    assert f"{importer} -> {imported} (l." in said


def calls(path: Path) -> Iterator[str]:
    """`module.function` of every call in a file, as far as it is spelled out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_only_those_who_change_something_or_take_reports_record_events() -> None:
    writers = {path.relative_to(ROOT).as_posix() for path in SOURCES if "ledger.record" in set(calls(path))}
    assert {"approvals/workflow/requests.py", "approvals/administration/shared.py"} <= writers
    rooms = ("workflow", "administration", "delivery", "watch", "enforcement")
    allowed = tuple(f"approvals/{room}/" for room in rooms)
    assert [path for path in writers if not path.startswith(allowed)] == []
    # By another name it could not be found here, so nobody gives it one.
    assert [
        path
        for path in SOURCES
        if path.parent.name != "ledger"
        and re.search(r"ledger import [^\n]*\brecord\b|\bledger\.recording\b|import recording", path.read_text())
    ] == []


WEB_PROCESS = """
import sys
from django.core.management import call_command
from registry_ui.wsgi import application
call_command("migrate", verbosity=0)

from django.test import Client
from django.test.client import ClientHandler
from approvals.models import PromotionRequest
from mirror.models import ModelVersion
from tests.support.factories import make_person, make_version

version = make_version("churn_predictor")
client = Client(headers={"host": "127.0.0.1"})
client.force_login(make_person("Rita Sanz", "requester", "reviewer", "auditor", "administrator"))
client.post(f"{version.get_absolute_url()}promote/", {"target": "Staging", "justification": "Better."})
assert PromotionRequest.objects.count() == 1
for path in ("/models/", version.get_absolute_url(), "/history/", "/system/", "/people/", "/readyz"):
    assert client.get(path).status_code == 200, path

# And through the very object that gunicorn calls.
from wsgiref.util import setup_testing_defaults
environ, said = {"PATH_INFO": "/accounts/login/", "HTTP_HOST": "127.0.0.1"}, []
setup_testing_defaults(environ)
body = b"".join(application(environ, lambda status, headers: said.append(status)))
assert said == ["200 OK"] and b"Sign in" in body, said
print("loaded:", *sorted(set(sys.modules) & {"mlflow", "sklearn", "pandas", "numpy", "skops", "registry_ui.demo"}))
"""


def test_the_web_process_never_loads_mlflow_or_what_models_are_made_with(tmp_path: Path) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "COUNTERSIGN_STATE_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/web.sqlite3",
    }
    done = subprocess.run(
        [sys.executable, "-c", WEB_PROCESS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


WORKER = """
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions

in_image = set(sys.argv[1:])
absent = {
    name for name, owners in packages_distributions().items()
    if not any(owner.lower().replace("_", "-").replace(".", "-") in in_image for owner in owners)
} - {"mlflow_gate"}
assert {"pandas", "numpy", "sklearn", "skops", "flask", "sqlalchemy", "matplotlib", "pyarrow", "scipy"} <= absent

class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)

sys.meta_path = [Present if finder is PathFinder else finder for finder in sys.meta_path]
import django
django.setup()
from registry_ui import celery
celery.app.loader.import_default_modules()
from mirror import connect
connect.connect()
from mirror.mlflow.artifacts import _repository
for root in ("s3://bucket/x", "gs://bucket/x", "wasbs://box@account.blob.core.windows.net/x", "mlflow-artifacts://h/x"):
    _repository(root)
import apprise, boto3, google.cloud.storage, azure.storage.blob, azure.identity
"""


def test_the_worker_needs_nothing_that_the_image_lacks(tmp_path: Path) -> None:
    """Every package that is installed here and not in the image's lock is refused, full MLflow among them."""
    lock = (ROOT / "requirements-runtime.txt").read_text()
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "COUNTERSIGN_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


# --- Migrations


@pytest.mark.django_db
def test_every_change_of_a_model_has_its_migration() -> None:
    said = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=said)
    assert said.getvalue() == "No changes detected\n"


def test_what_the_database_does_not_know_changes_where_its_field_is_made() -> None:
    """A help text or a choice: as an operation of its own, it would have Django render nearly every model anew, in each
    new installation."""
    state, needless = ProjectState(), set()
    for label, operation in _operations():
        for each in operation.operations if isinstance(operation, Together) else [operation]:
            before = state.clone()
            each.state_forwards(label, state)
            if isinstance(each, AlterField):
                key = (label, each.model_name_lower)
                old, new = (known.models[key].fields[each.name] for known in (before, state))
                if _known_to_the_database(old) == _known_to_the_database(new):
                    needless.add(label)
    assert "auth" in needless  # Django's own
    assert needless.isdisjoint(PACKAGES)


def test_no_field_is_added_together_with_others() -> None:
    """See `Together`: a second one to the same table would take the first away."""
    found = [operation.operations for _, operation in _operations() if isinstance(operation, Together)]
    assert found
    assert [part for parts in found for part in parts if isinstance(part, AddField)] == []


def _operations() -> Iterator[tuple[str, Operation]]:
    """Of all migrations, with the label of their application, in the order in which they run."""
    executor = MigrationExecutor(None)
    for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True):
        for operation in migration.operations:
            yield migration.app_label, operation


def _known_to_the_database(field: Field) -> tuple[object, ...]:
    _, path, args, kwargs = field.deconstruct()
    return path, args, {name: value for name, value in kwargs.items() if name not in field.non_db_attrs}


# --- Templates


def test_every_template_compiles() -> None:
    assert len(TEMPLATES) > 40
    backend = engines["django"]
    for path in TEMPLATES:
        backend.from_string(path.read_text())


def named_views(patterns: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from named_views(pattern.url_patterns, inner)
        elif pattern.name:
            yield f"{namespace}{pattern.name}"


def test_every_address_that_templates_and_code_name_exists() -> None:
    known = set(named_views(get_resolver().url_patterns))
    in_templates = re.compile(r"""{%-?\s*url\s+["']([\w:]+)["']""")
    in_code = re.compile(r"""\b(?:reverse|redirect)\(\s*["']([\w:]+)["']""")
    named = {
        (name, path.name)
        for files, pattern in ((TEMPLATES, in_templates), (SOURCES, in_code))
        for path in files
        for name in pattern.findall(path.read_text())
    }
    assert len(named) > 40
    assert sorted((name, where) for name, where in named if name not in known) == []


INLINE = {
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=.application/json)[^>]*>", re.IGNORECASE),
    "an inline style": re.compile(r"<style\b|<[a-z][^<>]*\sstyle\s*=", re.IGNORECASE),
    "an event handler": re.compile(r"<[a-z][^<>]*\son[a-z]+\s*=", re.IGNORECASE),
    "hx-on": re.compile(r"\b(?:data-)?hx-on\b", re.IGNORECASE),
    "hx-vals with eval": re.compile(r"hx-(?:vals|headers)\s*=\s*.js:", re.IGNORECASE),
    "a javascript address": re.compile(r"(?:href|src|action)\s*=\s*.javascript:", re.IGNORECASE),
    "a foreign address": re.compile(
        r"<(?:script|link|img|iframe)[^<>]*(?:src|href)\s*=\s*.(?:https?:)?//", re.IGNORECASE
    ),
}


@pytest.mark.parametrize("what", INLINE)
def test_no_template_has_what_the_content_policy_refuses(what: str) -> None:
    found = [path.relative_to(ROOT).as_posix() for path in TEMPLATES if INLINE[what].search(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("what", "markup"),
    [
        ("an inline script", "<script>alert(1)</script>"),
        ("an inline style", '<p class="a" style="color: red">'),
        ("an inline style", "<style>p {}</style>"),
        ("an event handler", '<button type="button" onclick="go()">'),
        ("hx-on", '<div hx-on::after-request="go()">'),
        ("hx-vals with eval", "<div hx-vals='js:{a: 1}'>"),
        ("a javascript address", '<a href="javascript:go()">'),
        ("a foreign address", '<script src="https://cdn.example.com/x.js"></script>'),
    ],
)
def test_what_the_content_policy_refuses_would_be_found(what: str, markup: str) -> None:
    assert INLINE[what].search(markup)


def test_scripts_of_ours_do_not_evaluate_text() -> None:
    folder = ROOT / "components" / "static"
    ours = list(folder.glob("*.js"))
    assert ours
    for path in ours:
        assert not re.search(r"\beval\(|new Function\(|\.innerHTML|\.outerHTML|document\.write", path.read_text()), (
            path.name
        )
