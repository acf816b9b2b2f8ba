"""Events as a file that grows, and its verification offline."""

import json
from pathlib import Path
from typing import Any

import pytest
from countersign import verifier

from tests.support.command_line import Command
from tests.support.stub_api import Answer, StubApi

pytestmark = [pytest.mark.slow, pytest.mark.nodb]


def chain(count: int) -> list[dict[str, Any]]:
    """Events as the ledger has them."""
    before, made = verifier.GENESIS, []
    for number in range(1, count + 1):
        record: dict[str, Any] = dict.fromkeys(verifier.COLUMNS, "")
        record |= {"sequence": number, "actor_id": None, "version_number": None, "request_id": None}
        record |= {"actor_label": "Zoë", "previous_hash": before}
        before = verifier.digest(record)
        made.append({"sequence": number, "record": record | {"hash": before}})
    return made


def page(events: list[dict[str, Any]]) -> Answer:
    last = events[-1]["sequence"] if events else 0
    return Answer(body={"items": events, "next": last, "last": last})


@pytest.fixture
def ledger(stub: StubApi) -> list[dict[str, Any]]:
    made = chain(5)
    stub.says("GET", "/api/v1/events", page(made))
    return made


def test_a_file_is_continued_after_its_last_event_and_verifies(
    stub: StubApi, ledger: list[dict[str, Any]], run: Command, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    stub.says("GET", "/api/v1/events", page(ledger[:3]))
    assert run("export", "-o", path).stdout == f"3 events, from 1 to 3, appended to {path}.\n"
    stub.says("GET", "/api/v1/events", page(ledger[3:]))
    assert json.loads(run("export", "-o", path, "--json").stdout) == {
        "events": 2,
        "first": 4,
        "last": 5,
        "file": str(path),
    }
    assert [call.query.get("after") for call in stub.calls] == ["0", "3"]
    stub.says("GET", "/api/v1/events", page([]))
    assert run("export", "-o", path).stdout == f"No new events for {path}.\n"
    done = run("verify", path, "--complete", COUNTERSIGN_URL="", COUNTERSIGN_TOKEN="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 events, from 1 to 5: every hash fits its content" in done.stdout


def test_what_was_altered_is_found(ledger: list[dict[str, Any]], run: Command, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(run("export").stdout.replace("Zoë", "Zoe", 1))
    done = run("verify", path, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["verdict"] == "broken"
    assert found["lines"][-1].startswith("BROKEN. Event 1 was altered")
    path.write_text("{}\n")
    unusable = run("verify", path)
    assert unusable.returncode == 2
    assert "this is no event of a Countersign history" in unusable.stdout


def test_the_options_of_the_verifier_are_here(ledger: list[dict[str, Any]], run: Command, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(run("export", "--after", 0).stdout)
    good = ledger[4]["record"]["hash"]
    assert run("verify", path, "--head", f"5:{good}", "--head", f"4:{ledger[3]['record']['hash']}").returncode == 0
    assert "has another hash" in run("verify", path, "--head", f"4:{good}").stdout
    assert run("verify", path, "--checkpoint", tmp_path / "none").returncode == 2


def test_a_file_that_cannot_be_continued_is_left_as_it_is(
    ledger: list[dict[str, Any]], run: Command, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    for text in ("no event\n", '{"sequence": 3', '{"a": 1}\n'):
        path.write_text(text)
        done = run("export", "-o", path)
        assert (done.returncode, path.read_text()) == (64, text)
        assert "does not end with a whole event" in done.stderr
    assert run("export", "-o", path, "--after", 3).returncode == 64
    assert run("export", "-o", tmp_path / "no" / "folder").returncode == 64


def test_the_last_event_is_found_from_the_end_however_long_it_is(stub: StubApi, run: Command, tmp_path: Path) -> None:
    stub.says("GET", "/api/v1/events", page([]))
    path = tmp_path / "history.jsonl"
    for length in (10, 70_000):
        lines = [json.dumps({"sequence": number, "payload": "x" * length}) for number in (7, 8, 9)]
        path.write_text("\n".join(lines) + "\n")
        run("export", "-o", path)
        assert stub.calls[-1].query["after"] == "9"
