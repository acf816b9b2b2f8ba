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

FORGED = ("was altered: it is not what event", "is not there any more", "is in no event", "was altered: it is not what")
"""Of rows from before the upgrade: a comment altered, deleted and added; a person put into a group."""


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


@pytest.mark.parametrize("old", ["v0_1_0.json", "v0_3_0.json"])
def test_an_older_installation_goes_on_where_it_was(database: str, old: str) -> None:
    became = upgraded(database, old)
    problem, remark = became["verdict"]
    assert problem == ""
    assert remark.endswith("the upgrade found, and what happened to them before it is not covered.")
    statuses = {now for _, now in became["statuses"]}
    if old == "v0_3_0.json":
        assert statuses > {"pending", "changes_requested", "approved", "applied"}
        for said, words in zip(became["forged"], FORGED, strict=True):
            assert words in said
    for what in ("statuses", "fingerprints"):
        assert [before for before, _ in became[what]] == [now for _, now in became[what]]
    assert became["changed_by_the_watch"] == []
    assert became["approved"] == "approved"  # the first of two approvals was given before the upgrade
    assert became["after"] == ""
    assert became["actions"] == ["request.approved", "review.approved", "rows.sealed"]
