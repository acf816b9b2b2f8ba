"""deploy/docker/roles.sql and move-to-roles.sql on a real PostgreSQL: as countersign_app everything works, and
what would undo the record is refused. The same in an installation that is new and in one that a superuser had made."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from registry_ui.database_roles import OWNS, TAKEN_BACK
from registry_ui.demo.installation import ROOT
from tests.support.compose import PATH
from tests.support.postgres import postgres

pytestmark = [pytest.mark.server, pytest.mark.nodb]

SCRIPTS = ROOT / "deploy" / "docker"
NEW, MOVED = "countersign", "moved"
APP, OWNER, BACKUP, SUPERUSER = "countersign_app", "countersign_owner", "countersign_backup", "countersign"


class Place:
    """A server with both installations."""

    def __init__(self, server: str, passwords: Path) -> None:
        self.server, self.passwords = server, passwords
        self.said: dict[str, dict[str, Any]] = {}

    def address(self, role: str, database: str) -> str:
        return f"{self.server.replace('//countersign@', f'//{role}@')}/{database}"

    def make_roles(self, database: str) -> None:
        words = ["--set", f"passwords={self.passwords}", "--file", str(SCRIPTS / "roles.sql")]
        run("psql", "--quiet", *words, self.address(SUPERUSER, database))

    def manage(self, role: str, database: str, *arguments: str) -> str:
        return self.python(role, database, str(ROOT / "manage.py"), *arguments)

    def python(self, role: str, database: str, *arguments: str) -> str:
        given = {"DATABASE_URL": self.address(role, database), "DJANGO_SETTINGS_MODULE": "tests.settings"}
        return run(sys.executable, *arguments, **given)

    def work(self, database: str, how: str) -> dict[str, Any]:
        return dict(json.loads(self.python(APP, database, "-m", "tests.support.as_app", how).splitlines()[-1]))

    def sql(self, statement: LiteralString, *, database: str, role: str = APP) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address(role, database), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []


def run(*command: str, **variables: str) -> str:
    environment = {**os.environ, "PATH": PATH, **variables}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One installation that its owner made and that has worked as the app role; one with the same rows, which belonged
    to a superuser before the scripts were run."""
    folder = tmp_path_factory.mktemp("roles")
    for name in ("owner", "app", "backup", "mlflow"):
        (folder / f"database_{name}_password").write_text(f"{name}'s secret\n")
    with postgres(NEW, MOVED) as server:
        here = Place(server, folder)
        here.make_roles(NEW)
        here.manage(OWNER, NEW, "migrate", "--verbosity=0")
        here.said[NEW] = here.work(NEW, "first")

        dump = folder / "dump.sql"
        run("pg_dump", "--no-owner", "--no-privileges", "--file", str(dump), here.address(BACKUP, NEW))
        script = ["--set", "ON_ERROR_STOP=1", "--quiet", "--file"]
        run("psql", *script, str(dump), here.address(SUPERUSER, MOVED))
        for _ in range(2):
            here.make_roles(MOVED)
            move = [*script, str(SCRIPTS / "move-to-roles.sql"), "--single-transaction"]
            run("psql", *move, here.address(SUPERUSER, MOVED))
        here.manage(OWNER, MOVED, "migrate", "--verbosity=0")
        here.said[MOVED] = here.work(MOVED, "further")
        yield here


def test_as_the_app_role_everything_works(place: Place) -> None:
    said = place.said[NEW]
    assert said["promoted"] == ["applied"] * 4
    assert (said["incidents"], said["number"], said["api"]) == (1, True, 200)
    assert {name: wrong for name, wrong in said["tasks"].items() if wrong} == {}


@pytest.mark.parametrize("database", [NEW, MOVED])
def test_pages_answer_and_the_ledger_verifies(place: Place, database: str) -> None:
    said = place.said[database]
    assert said["pages"]["sign in"] == 302
    assert {name: status for name, status in said["pages"].items() if status >= 500} == {}
    assert sum(status == 200 for status in said["pages"].values()) > 20
    assert said["ledger"].startswith("The ledger is intact")


def rights(place: Place, database: str) -> dict[str, tuple[str, list[str]]]:
    """Owner and rights of each table and sequence, owner and settings of each function."""
    asked: LiteralString = """
        SELECT relname, relowner::regrole::text,
            (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(relacl) AS acl)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S', 'v')
        UNION ALL SELECT proname, proowner::regrole::text, proconfig FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace"""
    return {name: (owner, held) for name, owner, held in place.sql(asked, database=database)}


def test_both_installations_have_the_same_rights(place: Place) -> None:
    place.sql("GRANT ALL ON approvals_auditevent TO countersign_app", database=NEW)  # gives nothing, which is no error
    new = rights(place, NEW)
    assert rights(place, MOVED) == new
    assert {owner for owner, _ in new.values()} == {OWNER}
    for table, letters in (("auditevent", "ar"), ("checkpoint", "ar"), ("chainhead", "rw"), ("comment", "arwd")):
        assert f"{APP}={letters}/{OWNER}" in new[f"approvals_{table}"][1]


REFUSED: dict[str, tuple[LiteralString, type[Exception]]] = {
    "disable a trigger": ("ALTER TABLE approvals_auditevent DISABLE TRIGGER ALL", errors.InsufficientPrivilege),
    "drop a trigger": ("DROP TRIGGER ledger_no_update ON approvals_auditevent", errors.InsufficientPrivilege),
    "make a trigger": (
        "CREATE TRIGGER mine BEFORE UPDATE ON approvals_auditevent FOR EACH ROW EXECUTE FUNCTION ledger_refuse()",
        errors.InsufficientPrivilege,
    ),
    "fire no triggers": ("SET session_replication_role = replica", errors.InsufficientPrivilege),
    "empty the ledger": ("TRUNCATE approvals_auditevent CASCADE", errors.InsufficientPrivilege),
    "empty another table": ("TRUNCATE approvals_comment", errors.InsufficientPrivilege),
    "drop a table": ("DROP TABLE approvals_auditevent CASCADE", errors.InsufficientPrivilege),
    "alter a table": ("ALTER TABLE approvals_auditevent ADD COLUMN x text", errors.InsufficientPrivilege),
    "stand a table of the session beside the ledger": (
        "CREATE TEMPORARY TABLE mine () INHERITS (approvals_auditevent)",
        errors.InsufficientPrivilege,
    ),
    "make a rule": (
        "CREATE RULE mine AS ON INSERT TO approvals_auditevent DO ALSO NOTHING",
        errors.InsufficientPrivilege,
    ),
    "drop a function": ("DROP FUNCTION ledger_refuse() CASCADE", errors.InsufficientPrivilege),
    "replace a function": (
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        errors.InsufficientPrivilege,
    ),
    "set up a function": ("ALTER FUNCTION ledger_refuse() SET search_path = pg_temp", errors.InsufficientPrivilege),
    "make a table": ("CREATE TABLE mine (x text)", errors.InsufficientPrivilege),
    "make a schema": ("CREATE SCHEMA mine", errors.InsufficientPrivilege),
    "make an extension": ("CREATE EXTENSION pgcrypto", errors.InsufficientPrivilege),
    "make a large object, which no backup could read": ("SELECT lo_create(0)", errors.InsufficientPrivilege),
    "make a role": ("CREATE ROLE mine SUPERUSER", errors.InsufficientPrivilege),
    "make a database": ("CREATE DATABASE mine", errors.InsufficientPrivilege),
    "run a program": ("COPY approvals_comment TO PROGRAM 'cat'", errors.InsufficientPrivilege),
    "write a file": ("COPY approvals_comment TO '/tmp/mine'", errors.InsufficientPrivilege),
    "read a file": ("SELECT pg_read_file('/etc/passwd')", errors.InsufficientPrivilege),
    "read passwords": ("SELECT rolpassword FROM pg_authid", errors.InsufficientPrivilege),
    "become the owner": ("SET ROLE countersign_owner", errors.InsufficientPrivilege),
    "become MLflow": ("SET ROLE mlflow", errors.InsufficientPrivilege),
    "take on a role": ("GRANT countersign_owner TO countersign_app", errors.InsufficientPrivilege),
    "give oneself rights on what comes": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE countersign_owner GRANT TRIGGER ON TABLES TO countersign_app",
        errors.InsufficientPrivilege,
    ),
    "delete an event": ("DELETE FROM approvals_auditevent WHERE sequence = 1", errors.InsufficientPrivilege),
    "change an event": ("UPDATE approvals_auditevent SET payload = '{}'", errors.InsufficientPrivilege),
    "write over an event": (
        "INSERT INTO approvals_auditevent SELECT * FROM approvals_auditevent WHERE sequence = 1 "
        "ON CONFLICT (sequence) DO UPDATE SET payload = '{}'",
        errors.InsufficientPrivilege,
    ),
    "add an event elsewhere": (
        "INSERT INTO approvals_auditevent SELECT * FROM approvals_auditevent WHERE sequence = 1",
        errors.IntegrityConstraintViolation,
    ),
    "add another head": ("INSERT INTO approvals_chainhead VALUES (2, 0, '')", errors.InsufficientPrivilege),
    "delete the head": ("DELETE FROM approvals_chainhead", errors.InsufficientPrivilege),
    "set the head back": (
        "UPDATE approvals_chainhead SET (sequence, hash) = "
        "(SELECT sequence, hash FROM approvals_auditevent WHERE sequence = 1)",
        errors.IntegrityConstraintViolation,
    ),
    "change the head's hash": ("UPDATE approvals_chainhead SET hash = 'f'", errors.IntegrityConstraintViolation),
    "delete a checkpoint": ("DELETE FROM approvals_checkpoint", errors.InsufficientPrivilege),
    "change a checkpoint": ("UPDATE approvals_checkpoint SET text = ''", errors.InsufficientPrivilege),
    "permit a role more": (
        "INSERT INTO auth_group_permissions (group_id, permission_id) SELECT g.id, p.id "
        "FROM auth_group g, auth_permission p",
        errors.InsufficientPrivilege,
    ),
    "permit oneself more": (
        "INSERT INTO accounts_user_user_permissions (user_id, permission_id) SELECT u.id, p.id "
        "FROM accounts_user u, auth_permission p",
        errors.InsufficientPrivilege,
    ),
    "rename a permission": ("UPDATE auth_permission SET codename = 'x'", errors.InsufficientPrivilege),
    "rename a kind": ("UPDATE django_content_type SET model = 'x'", errors.InsufficientPrivilege),
    "undo a migration": ("DELETE FROM django_migrations", errors.InsufficientPrivilege),
}


@pytest.mark.parametrize("database", [NEW, MOVED])
@pytest.mark.parametrize("what", REFUSED)
def test_what_would_undo_the_record_is_refused(place: Place, database: str, what: str) -> None:
    statement, how = REFUSED[what]
    with pytest.raises(how):
        place.sql(statement, database=database)


SHADOWED = {
    "an event out of turn": (
        "CREATE TEMPORARY TABLE approvals_chainhead (id bigint, sequence bigint, hash text)",
        "INSERT INTO pg_temp.approvals_chainhead VALUES (1, 899, repeat('a', 64))",
        "CREATE TEMPORARY TABLE forged AS SELECT * FROM public.approvals_auditevent WHERE sequence = 1",
        "UPDATE forged SET sequence = 900, previous_hash = repeat('a', 64), hash = repeat('b', 64)",
        "INSERT INTO public.approvals_auditevent SELECT * FROM forged",
    ),
    "a head at an event that is not there": (
        "CREATE TEMPORARY TABLE approvals_auditevent (sequence bigint, hash text)",
        "INSERT INTO pg_temp.approvals_auditevent SELECT sequence + 1, repeat('b', 64) FROM approvals_chainhead",
        "UPDATE approvals_chainhead SET sequence = sequence + 1, hash = repeat('b', 64)",
    ),
}


@pytest.mark.parametrize("database", [NEW, MOVED])
@pytest.mark.parametrize("what", SHADOWED)
def test_tables_of_a_session_do_not_stand_in_for_the_ledgers(place: Place, database: str, what: str) -> None:
    *before, last = SHADOWED[what]
    with psycopg.connect(place.address(APP, database)) as connection:
        for statement in before:
            connection.execute(statement)
        with pytest.raises(errors.IntegrityConstraintViolation):
            connection.execute(last)


OPEN: dict[str, LiteralString] = {
    "add an event in another's name": """
        INSERT INTO approvals_auditevent (sequence, at, action, actor_id, actor_label, allowed_by, model_name,
            target_name, correlation_id, payload, previous_hash, hash)
        SELECT head.sequence + 1, now(), action, actor_id, actor_label, allowed_by, model_name, target_name,
            correlation_id, payload, head.hash, repeat('f', 64)
        FROM approvals_chainhead head, approvals_auditevent event WHERE event.sequence = 1""",
    "add a checkpoint that is not signed": """
        INSERT INTO approvals_checkpoint (number, sequence, hash, at, key, text)
        SELECT 900, sequence, hash, now(), '', '' FROM approvals_chainhead""",
    "put a person into a group": """
        INSERT INTO accounts_user_groups (user_id, group_id) SELECT u.id, g.id FROM accounts_user u, auth_group g
        ON CONFLICT DO NOTHING""",
    "make a superuser": "UPDATE accounts_user SET is_superuser = true",
    "alter a request": "UPDATE approvals_promotionrequest SET status_reason = 'x'",
    "read passwords of people": "SELECT password FROM accounts_user",
    "hold everybody up": "LOCK TABLE approvals_chainhead IN ACCESS EXCLUSIVE MODE",
    "lock oneself out": "ALTER ROLE countersign_app PASSWORD 'x'",
}
"""What docs/security.md says is open: whoever finds a barrier for one takes it off both lists."""


@pytest.mark.parametrize("what", OPEN)
def test_what_is_said_to_be_open_is(place: Place, what: str) -> None:
    with psycopg.connect(place.address(APP, NEW)) as connection:
        connection.execute(OPEN[what])
        connection.rollback()


@pytest.mark.parametrize("database", [NEW, MOVED])
def test_tables_of_a_later_migration_have_the_rights_at_once(place: Place, database: str) -> None:
    with psycopg.connect(place.address(OWNER, database)) as connection:
        connection.execute("CREATE TABLE later (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, x text)")
        connection.commit()
        for statement in ("INSERT INTO later (x) VALUES ('a')", "UPDATE later SET x = 'b'", "DELETE FROM later"):
            place.sql(statement, database=database)
        connection.execute("DROP TABLE later")


def test_backups_are_made_as_a_role_of_their_own(place: Place, tmp_path: Path) -> None:
    def dump(role: str, database: str) -> "subprocess.CompletedProcess[str]":
        command = ["pg_dump", "--format=custom", "--file", str(tmp_path / role), place.address(role, database)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert dump(BACKUP, NEW).returncode == 0
    place.sql("CREATE DATABASE restored", database=NEW, role=SUPERUSER)
    place.make_roles("restored")
    as_owner = ["--exit-on-error", "--no-owner", "--no-privileges", "--dbname", place.address(OWNER, "restored")]
    run("pg_restore", *as_owner, str(tmp_path / BACKUP))
    place.manage(OWNER, "restored", "migrate", "--verbosity=0")
    assert rights(place, "restored") == rights(place, NEW)
    assert dump(BACKUP, "mlflow").returncode == 0
    assert "permission denied" in dump(APP, NEW).stderr
    for statement in (
        "DELETE FROM approvals_comment",
        "CREATE TEMPORARY TABLE mine (x text)",
        "CREATE TABLE mine (x text)",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            place.sql(statement, database=NEW, role=BACKUP)


@pytest.mark.parametrize(("role", "database"), [(APP, "mlflow"), (OWNER, "mlflow"), ("mlflow", NEW)])
def test_no_role_reaches_the_other_database(place: Place, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(place.address(role, database))


def test_each_role_has_a_password_and_nothing_that_it_set_for_itself(place: Place) -> None:
    place.sql("ALTER ROLE countersign_app PASSWORD NULL", database=NEW)
    place.sql("ALTER ROLE countersign_app SET statement_timeout = 1", database=NEW)
    place.make_roles(NEW)
    asked: LiteralString = """
        SELECT rolname FROM pg_authid LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid
        WHERE rolname IN ('countersign_owner', 'countersign_app', 'countersign_backup', 'mlflow')
            AND rolpassword LIKE 'SCRAM-SHA-256%' AND setconfig IS NULL AND rolcanlogin
            AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) ORDER BY 1"""
    found = [name for (name,) in place.sql(asked, database=NEW, role=SUPERUSER)]
    assert found == [APP, BACKUP, OWNER, "mlflow"]


def test_without_the_passwords_nothing_is_changed(place: Place, tmp_path: Path) -> None:
    command = ["psql", "--set", f"passwords={tmp_path}", "--file", str(SCRIPTS / "roles.sql")]
    done = subprocess.run([*command, place.address(SUPERUSER, NEW)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "passwords of countersign_owner and countersign_app are missing" in done.stderr
    assert "ALTER ROLE" not in done.stdout


def test_the_check_says_whether_the_role_can_undo_the_record(place: Place) -> None:
    def said(role: str) -> str:
        given = {"DATABASE_URL": place.address(role, NEW), "DJANGO_SETTINGS_MODULE": "tests.settings"}
        return subprocess.run(
            [sys.executable, "manage.py", "check", "--deploy"],
            env={**os.environ, **given}, cwd=ROOT, capture_output=True, text=True, check=False,
        ).stderr  # fmt: skip

    assert [place.said[database]["role"] for database in (NEW, MOVED)] == ["", ""]
    assert f"(countersign.W007) {OWNS} It is {OWNER}." in " ".join(said(OWNER).split())
    with psycopg.connect(place.address(OWNER, NEW), autocommit=True) as connection:
        connection.execute("GRANT INSERT ON auth_permission TO countersign_app")
        assert "may change what it only has to read: auth_permission." in " ".join(said(APP).split())
    place.manage(OWNER, NEW, "migrate", "--verbosity=0")
    assert rights(place, NEW) == rights(place, MOVED)


def test_what_is_taken_back_is_there(place: Place) -> None:
    there = {name for (name,) in place.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=NEW)}
    assert set(TAKEN_BACK) <= there
