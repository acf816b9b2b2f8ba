"""An installation of an earlier version goes on where it was: nothing is void, nothing false is recorded, and the
ledger verifies at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

OURS = ("accounts", "approvals", "mirror")
LAST_OF_0_3_0 = {"accounts": "0004_pseudonymised", "mirror": "0005_outages", "approvals": "0014_readings"}
OF_0_3_0 = {"0001_version_0_3", "0002_ledger"}

FORGED = ("was altered: it is not what event", "is not there any more", "is in no event", "was altered: it is not what")
"""Of rows from before the upgrade: a comment altered, deleted and added; a person put into a group."""

pytestmark = pytest.mark.each_database


@pytest.fixture
def database(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The address of an empty one of the kind that the suite runs on."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/old.sqlite3"
        return
    import psycopg

    told = settings.DATABASES["default"]
    name, place = "countersign_upgraded", {"host": told["HOST"], "port": told["PORT"], "user": told["USER"]}
    with psycopg.connect(dbname="postgres", autocommit=True, **place) as direct:
        direct.execute(f"CREATE DATABASE {name}")
        yield f"postgresql://{told['USER']}@{told['HOST']}:{told['PORT']}/{name}"
        direct.execute(f"DROP DATABASE {name} WITH (FORCE)")


def upgraded(database: str, old: str) -> dict[str, Any]:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database}
    command = [sys.executable, "-m", "tests.upgrade.upgrading", str(Path(__file__).parent / old)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_an_older_installation_goes_on_where_it_was(database: str) -> None:
    became = upgraded(database, "v0_3_0.json")
    problem, remark = became["verdict"]
    assert problem == ""
    assert remark.endswith("the upgrade found, and what happened to them before it is not covered.")
    statuses = {now for _, now in became["statuses"]}
    assert statuses > {"pending", "changes_requested", "approved", "applied"}
    for said, words in zip(became["forged"], FORGED, strict=True):
        assert words in said
    for what in ("statuses", "fingerprints"):
        assert [before for before, _ in became[what]] == [now for _, now in became[what]]
    assert became["changed_by_the_watch"] == []
    assert became["approved"] == "approved"  # the first of two approvals was given before the upgrade
    assert became["after"] == ""
    assert became["actions"] == ["request.approved", "review.approved", "rows.sealed"]


def applied_singly(*, until: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Leaves the database as it was when each migration that is replaced today had been applied by itself, up to the
    one that is named for an application; returns what `migrate` would do now."""
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in OURS and (migration.replaces or until):  # what replaces nothing is of a release after them
            MigrationRecorder.Migration.objects.filter(app=app, name=name).delete()
    for app, last in (until or {}).items():
        MigrationRecorder.Migration.objects.filter(app=app, name__gt=last).delete()
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [(migration.app_label, migration.name) for migration, _ in plan]


@pytest.mark.django_db
def test_who_followed_the_single_migrations_has_nothing_left_to_apply() -> None:
    assert applied_singly() == []


@pytest.mark.django_db
def test_from_0_3_0_only_what_came_after_it_is_applied() -> None:
    after = {(app, name) for app, name in MigrationLoader(None).disk_migrations if app in OURS and name not in OF_0_3_0}
    assert ("approvals", "0003_version_0_4") in after
    assert set(applied_singly(until=LAST_OF_0_3_0)) == after


@pytest.mark.django_db
@pytest.mark.parametrize(
    "last",
    [
        {"accounts": "0002_cache_table", "mirror": "0001_initial", "approvals": "0002_ledger_and_defaults"},  # 0.1.0
        {"accounts": "0003_service_accounts", "mirror": "0003_light_inspections", "approvals": "0008_notifications"},
        LAST_OF_0_3_0 | {"approvals": "0016_owner_and_former_names"},  # some commit after 0.3.0
    ],
)
def test_what_is_older_is_told_to_upgrade_to_0_3_0_first_and_is_not_touched(last: dict[str, str]) -> None:
    applied_singly(until=last)
    before = set(MigrationRecorder.Migration.objects.values_list("app", "name"))
    with pytest.raises(SystemCheckError, match=r"Upgrade to 0\.3\.0 first"):
        call_command("migrate", skip_checks=False, verbosity=0)
    assert set(MigrationRecorder.Migration.objects.values_list("app", "name")) == before
