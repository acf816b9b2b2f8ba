"""People by role, the two targets, databases for tests that need real commits, and a real MLflow."""

import fcntl
import gc
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, combinations
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from _pytest.mark.expression import Expression
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import override_settings, setup_databases, teardown_databases
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling

from accounts.models import User
from approvals.ledger import triggers
from approvals.models import Target, defaults
from tests.support.backstage import Backstage
from tests.support.compose import MlflowOfCompose
from tests.support.factories import somebody
from tests.support.gate import KEY
from tests.support.gated import GatedMlflow
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import postgres
from tests.support.waiting import within

# What a run imports and collects stays: looking through it for what may be freed took a tenth of the time.
gc.set_threshold(200_000, 20, 100)

# How long an example takes says how busy the machine is.
hypothesis_settings.register_profile("countersign", deadline=None)
hypothesis_settings.load_profile("countersign")

ROOT = Path(__file__).resolve().parents[1]
DATABASE = {"db", "transactional_db", "django_db_setup"}


PAGES = ("accounts", "api", "approvals/forms", "approvals/views", "components", "registry_ui")
"""Folders of what people and programs see, which asks a database through the rooms below it or through Django's own
applications. On PostgreSQL the browser asks for it."""

APART = ("e2e", "image", "slow", "server")
"""Marks of what starts processes and waits for them, the longest first."""


OF_A_FILE = re.compile(r"^pytestmark = (?:\[[^\]]*\]|.*)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file is not even imported when no test in it can be asked for, whichever of its marks that has: to import all
    takes each worker of `pytest -m e2e` longer than a minute's tests."""
    if not config.option.markexpr or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text()
    marks = ["nodb", "further", *(name for name in APART if f"mark.{name}" in text)]
    marks += ["each_database"] * ("mark.each_database" in text or "committed" in text)
    certain = {"further"} if _is_page(collection_path) and "each_database" not in marks else set()
    certain |= {"nodb"} if any("mark.nodb" in each for each in OF_A_FILE.findall(text)) else set()
    asked = Expression.compile(config.option.markexpr)
    some = chain.from_iterable(combinations(marks, count) for count in range(len(marks) + 1))
    found = any(asked.evaluate(lambda name, **_: name in {*each, *certain}) for each in some)  # noqa: B023  at once
    return None if found else True


def _is_page(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).as_posix().startswith(PAGES)


class Files(LoadFileScheduling):
    """What one worker runs: a file; of the browser's files every other, so that there are two installations at most."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        if file.parent.name != "e2e":
            return str(file)
        return f"{file.parent} {sorted(Path(__file__).parent.glob('e2e/*.py')).index(ROOT / file) % 2}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Files | None:
    return Files(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks `nodb` whatever asks for no database: it need not run on each. What starts servers says so itself, and goes
    first, so that the others work while it waits. `further` are of a table of cases all but the first, and all PAGES,
    unless marked `each_database`: they ask the database the same with other words (ADR 24). What commits is marked so:
    there the two hold locks of their own. In each file what is `kept` comes last, so that the cases before it have the
    database as migrations left it."""
    tables = set()
    for item in items:
        if "committed" in item.fixturenames:
            item.add_marker("each_database")
    begins: dict[Any, int] = {}
    for number, item in enumerate(items):
        begins.setdefault(item.path, number)
        apart = next((name for name in APART if item.get_closest_marker(name)), "")
        if not apart and not item.get_closest_marker("django_db") and not DATABASE & set(item.fixturenames):
            item.add_marker("nodb")
        table = (item.nodeid.partition("[")[0], apart)
        if (table in tables or _is_page(item.path)) and not item.get_closest_marker("each_database"):
            item.add_marker("further")
        tables.add(table)

    def order(item: pytest.Item) -> tuple[int, int, bool]:
        apart = next((n for n, name in enumerate(APART) if item.get_closest_marker(name)), len(APART))
        return apart, begins[item.path], "kept" in item.fixturenames

    items.sort(key=order)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A test that sets up logging, as making a worker does, does not decide what the tests after it see of theirs."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_modify_db_settings: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """As pytest-django's, but always: it makes the database for marked tests only, and those with `committed` have
    no mark. To migrate takes seconds, so of several workers the first does it for all."""
    with django_db_blocker.unblock():
        is_alone = "PYTEST_XDIST_WORKER" not in os.environ
        made = _set_up() if is_alone else _migrated(tmp_path_factory.getbasetemp().parent)
        FIRST_ROWS.update(rows_by_table())
    yield
    with django_db_blocker.unblock():
        left = rows_by_table()
        teardown_databases(made, verbosity=0)
    assert left == FIRST_ROWS, "A test committed rows without the fixture `committed`, which takes them away."


def _set_up() -> Any:
    return setup_databases(verbosity=0, interactive=False, aliases=["default"], serialized_aliases=[])  # type: ignore[arg-type]


TEMPLATE = "test_migrated"
"""On PostgreSQL, the database that those of the workers are copies of."""


def _migrated(shared: Path) -> Any:
    file = shared / "migrated"
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_first := not file.exists():
            made = _set_up()
        else:
            connection.settings_dict["TEST"]["TEMPLATE"] = TEMPLATE
            with patch("django.core.management.call_command"):
                made = _set_up()
        if connection.vendor == "sqlite":
            with closing(sqlite3.connect(file)) as copy:
                source, goal = (connection.connection, copy) if is_first else (copy, connection.connection)
                source.backup(goal)
        elif is_first:
            connection.close()  # of what somebody is connected to there is no copy
            with connection._nodb_cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
                cursor.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE {connection.settings_dict['NAME']}")
            file.touch()
    return made


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """What fixtures of a module write after this one is there for each of its tests, whatever they do to it, and gone
    after the last: for what takes longer to make than to test."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def rita(db: None) -> User:
    return somebody("Rita Sanz", "requester")


@pytest.fixture
def remy(db: None) -> User:
    return somebody("Remy Ortiz", "reviewer")


@pytest.fixture
def rosa(db: None) -> User:
    return somebody("Rosa Lind", "reviewer")


@pytest.fixture
def vera(db: None) -> User:
    return somebody("Vera Holm", "auditor")


@pytest.fixture
def ada(db: None) -> User:
    return somebody("Ada Brandt", "administrator")


@pytest.fixture
def staging(db: None) -> Target:
    return Target.objects.get(name="Staging")


@pytest.fixture
def production(db: None) -> Target:
    return Target.objects.get(name="Production")


FIRST_ROWS: dict[str, int] = {}
"""How many rows migrations left, by table: what each test begins with."""


def rows_by_table() -> dict[str, int]:
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model._base_manager.count() for model in models}


def sessions_left() -> int:
    """Of PostgreSQL, sessions other than this thread's: a thread of the test that still runs has one, and the database
    could not be removed at the end of the run."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database with real commits, for threads and processes; emptied afterwards in spite of the triggers."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            connection.close()
            assert within(10, lambda: not sessions_left()), "This test leaves a session of the database open."
            with connection.schema_editor() as editor:
                triggers.remove(editor)
            call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=False)
            with connection.schema_editor() as editor:
                defaults.create(apps, editor)
                triggers.install(editor)
            left = rows_by_table()
            connection.close()
            assert left == FIRST_ROWS, "The next test would not find what migrations left; see `defaults.create`."


@pytest.fixture(scope="session")
def mlflow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One for the whole run of this process, on the database that the suite runs on: on PostgreSQL it is the one of
    docker-compose.yml. It may call webhooks on this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    environment = {
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",  # a minute otherwise: so long a new webhook may not be called
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    if connection.vendor == "postgresql":
        with (
            postgres("countersign") as address,
            MlflowOfCompose(folder, address, environment=environment) as server,
        ):
            yield server
    else:
        with MlflowServer(folder, environment=environment) as server:
            yield server


@pytest.fixture(scope="session")
def gated_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatedMlflow]:
    """Another, with the gate inside."""
    with GatedMlflow(tmp_path_factory.mktemp("mlflow-gated")) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A file that says `ALSO_GATED` has its MLflow twice: as it comes, and with the gate inside."""
    if "mlflow_server" in metafunc.fixturenames and getattr(metafunc.module, "ALSO_GATED", False):
        metafunc.parametrize("mlflow_server", ["plain", "gated"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def mlflow_server(request: pytest.FixtureRequest) -> Iterator[MlflowServer]:
    """The run's MLflow, without the models of the files before."""
    if getattr(request, "param", "plain") == "plain":
        server: MlflowServer = request.getfixturevalue("mlflow_process")
        Backstage(server.url).delete_all_models()
        yield server
    else:
        yield from gated(request.getfixturevalue("gated_process"))


@pytest.fixture(scope="module")
def gated_server(gated_process: GatedMlflow) -> Iterator[GatedMlflow]:
    """The run's MLflow with the gate inside, without the models of the files before. This process has the key."""
    yield from gated(gated_process)


def gated(server: GatedMlflow) -> Iterator[GatedMlflow]:
    with server.opened():
        Backstage(server.url).delete_all_models()
    with override_settings(GATE_KEY=KEY.private_bytes_raw()):
        yield server
