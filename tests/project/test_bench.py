"""Every part of the benchmark runs, at a small size; what it measures at that size says nothing."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.urls import URLPattern, get_resolver, resolve
from django.utils import timezone

from accounts.models import User
from approvals.models import Target
from bench import pages, record
from bench.parts import NAMES, PARTS, POSTGRESQL, SQLITE
from bench.report import Row
from registry_ui.demo.installation import ROOT
from tests.support.factories import make_incident, make_request, make_tenure, make_version

ROW = re.compile(r"^\S.* +[\d.,]+ \S+ +[\d.,]+ \S+ +[\d.,]+ ×  [≤≥] .+ (?:met|NOT MET)$", re.MULTILINE)
ON_POSTGRESQL = [name for name, part in PARTS.items() if part.million or SQLITE not in part.databases]
"""Each part is tried on one database: it asks through the same code on the other."""

PAGE = (ROOT / "docs" / "benchmarks.md").read_text()


def run(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "bench", "--small", "--folder", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout.rpartition("\nwhat ")[2]


def rows_of(table: str, part: str) -> list[str]:
    """Those under the part's line in the table at the end."""
    _, found, after = table.partition(f"\n{part}: ")
    assert found, (part, table)
    return ROW.findall(re.split(r"^\w+: \d+ s", after, maxsplit=1, flags=re.MULTILINE)[0])


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.nodb
def test_the_parts_with_servers_of_their_own_run_on_sqlite(tmp_path: Path) -> None:
    """The worker of the part queues has the options that were needed before there were lanes."""
    parts = [name for name in PARTS if name not in ON_POSTGRESQL]
    table = run(tmp_path / "bench", "--database", SQLITE, "--worker=--pool threads --concurrency 4", *parts)
    for part in parts:
        assert rows_of(table, part), (part, table)
    nothing_is_later_than_three_periods(rows_of(table, "queues"))
    its_registry_is_whole(tmp_path / "bench" / "sqlite" / "filled_2000")


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.nodb
def test_what_asks_the_database_most_runs_on_postgresql(tmp_path: Path) -> None:
    table = run(tmp_path / "bench", "--database", POSTGRESQL, *ON_POSTGRESQL)
    for part in ON_POSTGRESQL:
        assert rows_of(table, part), (part, table)


def nothing_is_later_than_three_periods(rows: list[str]) -> None:
    """While as many deliveries are queued as keep the worker busy, with a slow MLflow; `make bench` queues 200."""
    assert [row.split(", ")[1].split(":")[0] for row in rows] == ["mirror", "watch", "mail", "files"]
    assert all(row.endswith(" met") for row in rows), rows


def its_registry_is_whole(database: Path) -> None:
    """What holds Production in the mirror has the open tenures, and the chain ends at its head."""
    with closing(sqlite3.connect(database)) as link:
        in_stage = (
            "SELECT m.name, v.number FROM mirror_modelversion v JOIN mirror_registeredmodel m ON m.id = v.model_id"
        )
        in_stage += " WHERE v.stage = 'Production' ORDER BY 1, 2"
        held = (
            "SELECT model_name, version_number FROM approvals_tenure WHERE ended_at IS NULL AND place = ? ORDER BY 1, 2"
        )
        holders = link.execute(in_stage).fetchall()
        assert holders
        assert link.execute(held, ["Production"]).fetchall() == holders
        assert link.execute(held, ["@champion"]).fetchall() == holders
        (head,) = link.execute("SELECT sequence, hash FROM approvals_chainhead").fetchall()
        last = "SELECT sequence, hash FROM approvals_auditevent ORDER BY sequence DESC LIMIT 1"
        assert link.execute(last).fetchall() == [head]


# --- What is kept of it


def test_the_page_names_every_part() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(PARTS)


@pytest.mark.parametrize("section", record.SECTIONS)
def test_a_table_of_the_page_has_a_row_of_each_part_that_its_run_has(section: str) -> None:
    """A part that was added since the last whole run is missing: run it again."""
    if f"\n## {section}\n" not in PAGE:
        pytest.skip("No whole run yet.")
    table = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    measured = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")} - {"part", "---"}
    vendor = next((key for key, name in NAMES.items() if name == section), POSTGRESQL)
    expected = {
        name for name, part in PARTS.items() if vendor in part.databases and (part.million or section != record.MILLION)
    }
    assert measured == expected


def test_a_whole_run_takes_the_place_of_the_last_one_and_leaves_the_other_tables(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\nWords.\n\n## SQLite\n\nold\n\n## PostgreSQL\n\nolder\n")
    done = SimpleNamespace(part="pages", rows=[Row("page models", 30, 20, bar=2.0)], failed="")
    record.keep("SQLite", [done], page)
    kept = page.read_text()
    assert kept.startswith("# Benchmarks\n\nWords.\n\n## SQLite\n")
    assert "| pages | page models | 30.0 ms | 20.0 ms | 1.50 | ≤ 2.00 × | met |\n" in kept
    assert "old\n" not in kept.replace("older", "")
    assert kept.endswith("## PostgreSQL\n\nolder\n")


def test_a_run_of_single_parts_that_is_kept_replaces_their_rows_and_says_so(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n")
    parts = [SimpleNamespace(part=name, rows=[Row(name, 30, 20, bar=2.0)], failed="") for name in ("pages", "gate")]
    record.keep("SQLite", parts, page)
    whole = page.read_text()
    later = SimpleNamespace(part="gate", rows=[Row("another", 10, 20, bar=2.0)], failed="")
    record.keep("SQLite", [later], page, is_whole=False)
    kept = page.read_text()
    assert "| pages | pages | 30.0 ms |" in kept
    assert "| gate | another | 10.0 ms |" in kept
    assert "| gate | gate |" not in kept
    assert kept.count(record.HEAD) == 1
    assert kept.startswith(whole.partition("\n\n|")[0]), "what the whole run was measured on stays"
    assert "\n\nAfterwards `gate`: 2" in kept


def test_a_part_that_failed_is_a_row(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n")
    record.keep("PostgreSQL", [SimpleNamespace(part="gate", rows=[], failed="ended with status 1")], page)
    assert "| gate | the part failed | | | | | **not met** |\n" in page.read_text()


@pytest.mark.parametrize(
    ("row", "is_met"),
    [
        (Row("a", 20, 10, bar=2.0), True),
        (Row("a", 21, 10, bar=2.0), False),
        (Row("a", 61, 60, bar=2.0, ceiling_ms=60), False),
        (Row("a", 70, 10, extra_ms=60), True),
        (Row("a", 71, 10, extra_ms=60), False),
        (Row("a", 39, 40, bar=1.0, at_least=True), False),
        (Row("a", 40, 40, bar=1.0, at_least=True), True),
        (Row("a", 1, 10, bar=2.0, fault="3 queries became 4."), False),
        (Row("a", 0, 0, bar=1.0), True),
    ],
)
def test_a_bar_is_met_or_not(row: Row, is_met: bool) -> None:
    assert row.is_met is is_met


# --- Which pages it opens

CHANGES = """
    approvals:cut_acknowledge approvals:deletions_confirm approvals:finding_close approvals:freeze_retire
    approvals:group_new approvals:history_import_confirm approvals:incident_resolve approvals:ledger_checkpoint
    approvals:ledger_verify approvals:notification approvals:notifications_read approvals:person_active
    approvals:person_pseudonymise approvals:policy_move approvals:policy_new_preview approvals:policy_preview
    approvals:policy_retire approvals:registry_accept approvals:request_afterwards approvals:request_comment
    approvals:request_confirm approvals:request_end approvals:request_end_half approvals:request_follow
    approvals:request_nominate approvals:request_nomination_take_back approvals:request_opened
    approvals:request_override approvals:request_resubmit approvals:request_retry approvals:request_review
    approvals:request_submit_under approvals:request_undo approvals:request_withdraw approvals:target_retire
    approvals:webhook_again approvals:webhook_pause approvals:webhook_replay approvals:webhook_resume
    approvals:publisher_retire approvals:token_revoke
    approvals:webhook_retire approvals:webhook_rotate approvals:webhook_test first_day saved_views
"""
WHOLE_FILES = """
    approvals:audit_access_csv approvals:audit_archive approvals:audit_population_csv approvals:audit_population_jsonl
    approvals:audit_reviews_csv approvals:history_at_json approvals:history_export approvals:history_export_lines
    approvals:policies_export approvals:verifier overview_csv overview_json
"""
ASKED_BY_PROGRAMS = """
    approvals:check_callback approvals:gate_openings approvals:gate_refusals approvals:health_callback
    approvals:mlflow_callback healthz metrics
"""
OF_WHAT_IS_NOT_THERE = """
    approvals:account_token_new approvals:publisher_new
    approvals:ask approvals:break_glass approvals:exhibit approvals:freeze approvals:invitation
    approvals:request_certificate approvals:roll_back approvals:webhook approvals:webhook_edit home
    reauthenticate_at_provider welcome
"""
"""In the registry of this test, or of the benchmark; and addresses that lead elsewhere."""


def test_every_page_is_opened_or_is_none(db: None, rita: User, production: Target) -> None:
    make_request(make_version(), production, by=rita)
    make_tenure("churn_predictor", 1, production, timezone.now())
    make_incident()
    opened = {resolve(path.partition("?")[0]).view_name for path in pages.pages().values()}
    others = {*CHANGES.split(), *WHOLE_FILES.split(), *ASKED_BY_PROGRAMS.split(), *OF_WHAT_IS_NOT_THERE.split()}
    assert _addresses() - opened == others


def _addresses() -> set[str]:
    """The product's own, with names; sign-in's are django-allauth's."""
    found = set()
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLPattern):
            found.add(entry.name)
        elif entry.namespace == "approvals":
            found |= {f"approvals:{each.name}" for each in entry.url_patterns}
    return found - {None}
