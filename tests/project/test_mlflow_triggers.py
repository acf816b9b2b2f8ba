"""deploy/mlflow-triggers on a real PostgreSQL below a real MLflow: what is refused, what goes on, how it is undone."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
import requests
from mlflow_gate import grants
from mlflow_gate.permits import Permits
from psycopg import sql

from registry_ui.demo.installation import ROOT
from tests.support.gate import KEY, Countersign
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import postgres

pytestmark = [pytest.mark.server, pytest.mark.nodb]

FOLDER = ROOT / "deploy" / "mlflow-triggers"
SAID = "MLflow's gate did not let this change pass"


class OnPostgres(MlflowServer):
    """MLflow as compose runs it, with a database role of its own that owns its tables."""

    def __init__(self, folder: Path, server: str, **environment: str) -> None:
        super().__init__(folder, environment=environment)
        self.server = server

    def as_role(self, role: str) -> str:
        return self.server.replace("//countersign@", f"//{role}@") + "/mlflow"

    def _command(self) -> list[str]:
        uri = self.as_role("mlflow").replace("postgresql://", "postgresql+psycopg2://")
        return [f"--backend-store-uri={uri}" if "--backend-store-uri" in word else word for word in super()._command()]

    def sql(
        self, statement: LiteralString | sql.Composed, *values: object, role: str = "mlflow"
    ) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.as_role(role)) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

    def call(self, method: str, path: str, **values: Any) -> tuple[int, str]:
        answer = requests.request(method, f"{self.url}/api/2.0/mlflow/{path}", json=values, timeout=60)
        return answer.status_code, answer.text

    def model(self, name: str, versions: int = 2) -> str:
        assert self.call("POST", "registered-models/create", name=name)[0] == 200
        for _ in range(versions):
            assert self.call("POST", "model-versions/create", name=name, source="s3://nothing/here")[0] == 200
        return name

    def move(self, name: str, version: int, stage: str = "Production", *, archive: bool = True) -> tuple[int, str]:
        return self.call(
            "POST", "model-versions/transition-stage",
            name=name, version=str(version), stage=stage, archive_existing_versions=archive,
        )  # fmt: skip

    def stages(self, name: str) -> list[str]:
        found = self.sql("SELECT current_stage FROM model_versions WHERE name = %s ORDER BY version", name)
        return [stage for (stage,) in found]

    @contextmanager
    def let_pass(self, operation: str, **arguments: Any) -> Iterator[None]:
        """What the plugin does around a change."""
        permits = Permits(self.as_role("countersign_gate").replace("://", "+psycopg2://"))
        with permits.around(operation, arguments):
            yield

    def granted_move(self, name: str, version: int, stage: str = "Production", *, archive: bool = True) -> int:
        values = {"version": str(version), "stage": stage, "archive_existing_versions": archive}
        with self.let_pass("transition_model_version_stage", name=name, **values):
            return self.move(name, version, stage, archive=archive)[0]

    def granted_alias(self, name: str, alias: str, version: int) -> int:
        values = {"name": name, "alias": alias, "version": str(version)}
        with self.let_pass("set_registered_model_alias", **values):
            return self.call("POST", "registered-models/alias", **values)[0]


def run(server: OnPostgres, script: str, *variables: str) -> None:
    """As the README says."""
    command = ["psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction"]
    command += [word for each in variables for word in ("--set", each)]
    done = subprocess.run(
        [*command, "--file", str(FOLDER / script), server.as_role("countersign")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def install(server: OnPostgres) -> None:
    run(server, "install.sql", "gate_password=only-for-tests")


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnPostgres]:
    with postgres() as server:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute("CREATE ROLE mlflow LOGIN")
            connection.execute("CREATE DATABASE mlflow OWNER mlflow")
            connection.execute("REVOKE ALL ON DATABASE mlflow FROM PUBLIC")  # as deploy/docker/roles.sql does
        with OnPostgres(tmp_path_factory.mktemp("triggers"), server) as running:
            install(running)
            install(running)
            yield running


def test_what_does_not_pass_through_the_gate_is_refused(mlflow: OnPostgres) -> None:
    name = mlflow.model("churn")
    status, said = mlflow.move(name, 1)
    assert status == 400
    assert f"churn version 1: stage:Production is guarded by Countersign, and {SAID}" in said
    assert mlflow.call("POST", "registered-models/alias", name=name, alias="champion", version="1")[0] == 400
    assert mlflow.call("POST", "registered-models/alias", name=name, alias="Champion", version="1")[0] == 400
    for statement in (
        "UPDATE model_versions SET current_stage = 'Production' WHERE name = 'churn'",
        "INSERT INTO model_versions (name, version, current_stage) VALUES ('churn', 9, 'Production')",
        "INSERT INTO registered_model_aliases (name, alias, version) VALUES ('churn', 'champion', 1)",
        "TRUNCATE model_versions CASCADE",
        "TRUNCATE registered_model_aliases",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="guarded by Countersign"):
            mlflow.sql(statement)
    assert mlflow.stages(name) == ["None", "None"]


def test_everything_else_goes_on(mlflow: OnPostgres) -> None:
    name = mlflow.model("sales")
    assert mlflow.move(name, 1, "Staging")[0] == 200
    assert mlflow.move(name, 2, "Staging")[0] == 200
    assert mlflow.call("POST", "registered-models/alias", name=name, alias="challenger", version="1")[0] == 200
    assert mlflow.call("DELETE", "registered-models/alias", name=name, alias="challenger")[0] == 200
    assert mlflow.call("PATCH", "model-versions/update", name=name, version="1", description="x")[0] == 200
    assert mlflow.call("POST", "model-versions/set-tag", name=name, version="1", key="x", value="y")[0] == 200
    assert mlflow.call("POST", "registered-models/rename", name=name, new_name="sales_2")[0] == 200
    assert mlflow.call("DELETE", "model-versions/delete", name="sales_2", version="1")[0] == 200
    assert mlflow.call("DELETE", "registered-models/delete", name="sales_2")[0] == 200


def test_a_permit_lets_one_change_pass(mlflow: OnPostgres) -> None:
    name = mlflow.model("fraud", versions=3)
    with mlflow.let_pass("transition_model_version_stage", name=name, version="1", **INTO_PRODUCTION):
        assert mlflow.move(name, 2)[0] == 400
        assert mlflow.move(name, 1)[0] == 200
        assert mlflow.move(name, 1, "Archived", archive=False)[0] == 400, "it was used"
    assert mlflow.granted_move(name, 2) == 200, "and archives what was there"
    assert mlflow.stages(name) == ["Archived", "Production", "None"]
    assert mlflow.move(name, 3)[0] == 400
    assert mlflow.granted_move(name, 3, archive=False) == 200, "beside the other"
    assert mlflow.granted_move(name, 3, "Archived", archive=False) == 200
    assert mlflow.granted_alias(name, "champion", 2) == 200
    assert mlflow.granted_alias(name, "champion", 1) == 200
    with mlflow.let_pass("delete_registered_model_alias", name=name, alias="champion"):
        assert mlflow.call("DELETE", "registered-models/alias", name=name, alias="champion")[0] == 200
    assert mlflow.sql("SELECT count(*) FROM countersign.permits", role="countersign") == [(0,)]


def test_two_transactions_do_not_use_one_permit(mlflow: OnPostgres) -> None:
    name = mlflow.model("raced")
    change = "UPDATE model_versions SET current_stage = 'Production' WHERE name = 'raced' AND version = 1"
    address = mlflow.as_role("mlflow")
    with (
        mlflow.let_pass("transition_model_version_stage", name=name, version="1", **INTO_PRODUCTION),
        psycopg.connect(address) as first,
        psycopg.connect(address) as second,
        ThreadPoolExecutor() as pool,
    ):
        first.execute(change)
        # Another row, so that it is the permit that it waits for.
        second.execute("UPDATE model_versions SET version = 3 WHERE name = 'raced' AND version = 2")
        waits = pool.submit(
            second.execute,
            "INSERT INTO model_versions (name, version, current_stage) VALUES ('raced', 1, 'production')",
        )
        with pytest.raises(TimeoutError):
            waits.result(timeout=1)
        first.execute(
            "UPDATE model_versions SET version = 4, current_stage = 'None' WHERE name = 'raced' AND version = 1"
        )
        first.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=SAID):
            waits.result(timeout=30)
        second.rollback()


INTO_PRODUCTION = {"stage": "Production", "archive_existing_versions": True}

UNGUARDED = (
    # Calls that everybody may make, while which somebody with the database tries what nobody may.
    ("transition_model_version_stage", {"version": "2", "stage": "Staging", "archive_existing_versions": True}),
    ("set_registered_model_alias", {"version": "1", "alias": "challenger"}),
    ("delete_registered_model_alias", {"alias": "challenger"}),
    ("delete_model_version", {"version": "2"}),
    ("rename_registered_model", {"new_name": "elsewhere"}),
)


@pytest.mark.parametrize(("operation", "arguments"), UNGUARDED, ids=[name for name, _ in UNGUARDED])
def test_an_unguarded_call_opens_nothing_while_it_takes(
    mlflow: OnPostgres, held: str, operation: str, arguments: dict[str, Any]
) -> None:
    with mlflow.let_pass(operation, name=held, **arguments):
        for statement in (
            "UPDATE model_versions SET current_stage = 'Production' WHERE name = %s AND version = 2",
            "UPDATE model_versions SET current_stage = 'None' WHERE name = %s AND version = 1",
            "UPDATE registered_model_aliases SET version = 2 WHERE name = %s",
            "DELETE FROM registered_model_aliases WHERE name = %s",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=SAID):
                mlflow.sql(statement, held)


@pytest.fixture
def held(mlflow: OnPostgres) -> str:
    """A model whose first version is in Production, and champion."""
    name = mlflow.model(f"held_{secrets.token_hex(4)}")
    assert (mlflow.granted_move(name, 1), mlflow.granted_alias(name, "champion", 1)) == (200, 200)
    return name


def test_what_holds_a_place_stays_as_it_is(mlflow: OnPostgres, held: str) -> None:
    assert mlflow.move(held, 1, "None", archive=False)[0] == 400
    assert mlflow.call("DELETE", "registered-models/alias", name=held, alias="champion")[0] == 400
    assert mlflow.call("POST", "registered-models/alias", name=held, alias="champion", version="2")[0] == 400
    assert mlflow.call("DELETE", "model-versions/delete", name=held, version="1")[0] == 400
    assert mlflow.call("DELETE", "registered-models/delete", name=held)[0] == 400
    assert mlflow.call("POST", "registered-models/rename", name=held, new_name="elsewhere")[0] == 400
    for column, value in (("source", "s3://other"), ("run_id", "x"), ("version", 7), ("workspace", "other")):
        change = sql.SQL("UPDATE model_versions SET {} = %s WHERE name = %s AND version = 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=SAID):
            mlflow.sql(change.format(sql.Identifier(column)), value, held)
    assert mlflow.call("PATCH", "model-versions/update", name=held, version="1", description="mine")[0] == 200
    with mlflow.let_pass("delete_model_version", name=held, version="1"):
        assert mlflow.call("DELETE", "model-versions/delete", name=held, version="1")[0] == 200


def test_renaming_and_deleting_pass_with_a_permit(mlflow: OnPostgres, held: str) -> None:
    names = {"name": held, "new_name": f"new_{held}"}
    with mlflow.let_pass("rename_registered_model", **names):
        assert mlflow.call("POST", "registered-models/rename", **names)[0] == 200
    assert mlflow.stages(f"new_{held}")[0] == "Production"
    with mlflow.let_pass("delete_registered_model", name=f"new_{held}"):
        assert mlflow.call("DELETE", "registered-models/delete", name=f"new_{held}")[0] == 200


def test_places_say_what_is_guarded(mlflow: OnPostgres) -> None:
    name = mlflow.model("sandbox_50%_x")
    mlflow.sql(r"INSERT INTO countersign.places VALUES ('stage:Production', 'sandbox\_*', false)", role="countersign")
    assert mlflow.move(name, 1)[0] == 400, "a backslash is a backslash, and _ is no wildcard"
    mlflow.sql("INSERT INTO countersign.places VALUES ('stage:Production', 'sandbox_5?%_*', false)", role="countersign")
    assert mlflow.move(name, 1)[0] == 200
    assert mlflow.move(mlflow.model("sandboxes"), 1)[0] == 400
    assert mlflow.call("POST", "registered-models/rename", name=name, new_name="real")[0] == 400


def test_mlflows_role_cannot_make_permits_or_change_what_is_guarded(mlflow: OnPostgres) -> None:
    for statement in (
        "SELECT countersign.permit('[]')",
        "INSERT INTO countersign.permits (batch, model, place, arrives) VALUES (1, 'churn', 'stage:*', true)",
        "DELETE FROM countersign.places",
        "SELECT countersign.need('churn', 'stage:Production', 1, true)",
        "DROP FUNCTION countersign.guard() CASCADE",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            mlflow.sql(statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        mlflow.sql("UPDATE model_versions SET current_stage = 'Production'", role="countersign_gate")


def gated(folder: Path, mlflow: OnPostgres, site: Countersign, database: str) -> OnPostgres:
    """Another MLflow on the same database, with the plugin."""
    environment = site.environment(
        PYTHONPATH=str(ROOT / "packages" / "mlflow_gate"),
        MLFLOW_REGISTRY_STORE_URI=f"countersign:{mlflow.as_role('mlflow').replace('://', '+psycopg2://')}",
        COUNTERSIGN_GATE_STATE=str(folder / "gate.json"),
        COUNTERSIGN_GATE_DATABASE_URL=database,
    )
    return OnPostgres(folder, mlflow.server, **environment)


def test_what_the_plugin_lets_pass_passes_here_and_nothing_else(mlflow: OnPostgres, tmp_path: Path) -> None:
    name = mlflow.model("granted")
    role = mlflow.as_role("countersign_gate").replace("://", "+psycopg2://")
    with Countersign() as site, gated(tmp_path, mlflow, site, role) as server:
        status, said = server.move(name, 1)
        assert (status, "Ask for it: " in said) == (403, True), said
        move = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": True}
        alias = {"name": name, "alias": "champion", "version": "1"}
        for path, operation, values in (
            ("model-versions/transition-stage", "transition_model_version_stage", move),
            ("registered-models/alias", "set_registered_model_alias", alias),
        ):
            grant = grants.sign(KEY, operation, values, audience="mlflow")
            answer = requests.post(
                f"{server.url}/api/2.0/mlflow/{path}", json=values, headers={grants.HEADER: grant}, timeout=60
            )
            assert answer.status_code == 200, answer.text
        sandbox = server.model("sandbox_granted")
        assert server.move(sandbox, 1)[0] == 200, "the gate does not guard it, so it lets it pass"
        assert server.call("POST", "registered-models/rename", name=sandbox, new_name="sandbox_other")[0] == 200
        assert server.call("DELETE", "registered-models/delete", name="sandbox_other")[0] == 200
    assert mlflow.stages(name) == ["Production", "None"]
    assert mlflow.sql("SELECT count(*) FROM countersign.permits", role="countersign") == [(0,)]
    assert mlflow.move(name, 2)[0] == 400, "the MLflow that was started without the plugin"


def test_a_gate_that_could_write_no_permits_does_not_start(mlflow: OnPostgres, tmp_path: Path) -> None:
    role = mlflow.as_role("mlflow").replace("://", "+psycopg2://")
    with Countersign() as site, pytest.raises(RuntimeError, match="COUNTERSIGN_GATE_DATABASE_URL: MLflow's database"):
        gated(tmp_path, mlflow, site, role).start()
    with pytest.raises(ValueError, match="is no address of a PostgreSQL database"):
        Permits("mlflow")


def test_the_owner_of_the_tables_can_switch_triggers_off_until_another_owns_them(mlflow: OnPostgres) -> None:
    mlflow.sql("ALTER TABLE model_versions DISABLE TRIGGER countersign_guard")
    mlflow.sql("ALTER TABLE model_versions ENABLE TRIGGER countersign_guard")
    mlflow.stop()
    run(mlflow, "own.sql", "server=mlflow", "owner_password=only-for-tests")
    run(mlflow, "own.sql", "server=mlflow", "owner_password=only-for-tests")
    for statement in (
        "ALTER TABLE model_versions DISABLE TRIGGER countersign_guard",
        "DROP TRIGGER countersign_guard ON model_versions",
        "TRUNCATE model_versions CASCADE",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            mlflow.sql(statement)
    mlflow.start()
    name = mlflow.model("owned")
    assert mlflow.move(name, 1)[0] == 400
    assert mlflow.move(name, 1, "Staging")[0] == 200
    assert mlflow.call("POST", "runs/create", experiment_id="0", start_time=1)[0] == 200
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", mlflow.as_role("mlflow_owner")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_removed_again_nothing_is_left(mlflow: OnPostgres) -> None:
    run(mlflow, "remove.sql")
    run(mlflow, "remove.sql")
    name = mlflow.model("free")
    assert mlflow.move(name, 1)[0] == 200
    assert mlflow.sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'countersign%'") == [(0,)]
    assert mlflow.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'countersign_gate'") == [(0,)]
    install(mlflow)
    assert mlflow.move(name, 2)[0] == 400


def test_mlflows_upgrade_leaves_the_triggers_where_they_are(tmp_path: Path) -> None:
    """From the schema before workspaces, which gives the guarded tables a column and new keys, to this one."""
    before_workspaces = "c8d9e0f1a2b3"
    with postgres("mlflow") as server:
        mlflow = OnPostgres(tmp_path, server)
        address = mlflow.as_role("countersign")
        made = subprocess.run([sys.executable, "-c", OLD_SCHEMA, address, before_workspaces], check=False)
        assert made.returncode == 0
        mlflow.sql("INSERT INTO registered_models (name) VALUES ('old')", role="countersign")
        version = "INSERT INTO model_versions (name, version, current_stage) VALUES ('old', 1, 'Production')"
        mlflow.sql(version, role="countersign")
        install(mlflow)
        upgraded = subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", address], check=False)
        assert upgraded.returncode == 0
        assert mlflow.sql("SELECT workspace FROM model_versions", role="countersign") == [("default",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=SAID):
            mlflow.sql("UPDATE model_versions SET current_stage = 'None'", role="countersign")


OLD_SCHEMA = """
import sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = create_sqlalchemy_engine(sys.argv[1])
Base.metadata.create_all(engine)
config = _get_alembic_config(sys.argv[1])
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, sys.argv[2])
"""
