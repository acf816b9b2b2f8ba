"""An installation of an earlier version goes on where it was: nothing is void, nothing false is recorded, and the
ledger verifies at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

OLD = Path(__file__).parent / "v0_3_0.json"


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


def test_an_installation_of_0_3_0_goes_on_where_it_was(database: str) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database}
    command = [sys.executable, "-m", "tests.upgrade.upgrading", str(OLD)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    became = json.loads(done.stdout.splitlines()[-1])
    problem, remark = became["verdict"]
    assert problem == ""
    assert remark.endswith("the upgrade found, and what happened to them before it is not covered.")
    for said, words in zip(
        became["forged"],
        ("was altered: it is not what event", "is not there any more", "is in no event", "was altered: it is not what"),
        strict=True,
    ):
        assert words in said
    assert {now for _, now in became["statuses"]} > {"pending", "changes_requested", "approved", "applied"}
    for what in ("statuses", "fingerprints"):
        assert [before for before, _ in became[what]] == [now for _, now in became[what]]
    assert became["changed_by_the_watch"] == []
    assert became["approved"] == "approved"  # the first of two approvals was given before the upgrade
    assert became["after"] == ""
    assert became["actions"] == ["request.approved", "review.approved", "rows.sealed"]
