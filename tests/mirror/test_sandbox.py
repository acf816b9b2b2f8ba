"""Files of others are parsed in a process of their own: what is refused, what the limits end, and once at a time."""

import subprocess
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mirror import packaging, sandbox
from tests.support.fakes import MODEL_FILES

MERGED = "which MLflow never writes"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    sandbox._answers.clear()


def merges(size: int) -> bytes:
    """A mapping that merges the one before it again and again: pairs multiply, the file does not."""
    pairs = ", ".join(f"k{number}: v" for number in range(size))
    lines = [f"a0: &a0 {{{pairs}}}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 40)}]}}" for level in range(1, 6)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (merges(400), MERGED),
        (b"base: &b {x: 1}\nflavors:\n  sklearn:\n    !!merge <<: *b\n", MERGED),
        (b"flavors: {sklearn: {" + b"a: &a [" + b"x, " * 20_000 + b"x]}}", ""),
        (b"a: &a [x]\nb: [" + b"*a, " * 5_000 + b"*a]", "more than can be shown"),
        (b"[" * 5_000, "more than can be shown"),
        (b"flavors: {a: {b: &s '" + b"x" * 500_000 + b"', c: [" + b"*s, " * 900 + b"*s]}}", "more than can be shown"),
        (b"flavors: {a: {b: [" + b"x, " * 100_001 + b"]}}", "more than can be shown"),
        (b'flavors: {a: {b: "<<"}}', ""),
    ],
)
def test_file_that_grows_is_refused_before_it_does(content: bytes, problem: str) -> None:
    assert len(content) <= packaging.LARGEST
    began = time.monotonic()
    facts, told = packaging.read({"MLmodel": content})
    assert (problem in told) if problem else (told == "" and facts is not None)
    assert time.monotonic() - began < 10
    assert sandbox.described({"MLmodel": content}) == (facts, told)


def test_answer_is_the_same_as_in_this_process() -> None:
    found = sandbox.described(MODEL_FILES)
    assert found == packaging.read(MODEL_FILES)
    assert found[0] is not None
    assert found[0]["flavors"]["sklearn"]["serialization_format"] == "skops"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"columns": ["a"], "data": [[1]]}', True),
        (b'[{"a": 1}]', True),
        (b"[" * 100_000, False),
        (b'{"columns": 1, "data": 2}', False),
        (b"\xff", False),
    ],
)
def test_tables_are_known_by_what_they_are(content: bytes, expected: bool) -> None:
    assert sandbox.is_table(content) is expected


def program(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    place = folder / "program.py"
    place.write_text(source)
    monkeypatch.setattr(packaging, "__file__", str(place))


def test_too_much_memory_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(packaging.__file__).read_text()
    hungry = source.replace(
        "    if MLMODEL not in texts:\n", "    held = bytearray(1 << 30)\n    if held and MLMODEL not in texts:\n"
    )
    assert hungry != source
    program(monkeypatch, tmp_path, hungry)
    assert sandbox.described(MODEL_FILES) == (None, f"The MLmodel file {sandbox.TOO_MUCH}")


def test_too_much_time_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path, "while True: pass")
    monkeypatch.setattr(sandbox, "SECONDS", 0.5)
    began = time.monotonic()
    assert sandbox.described(MODEL_FILES) == (None, f"The MLmodel file {sandbox.TOO_MUCH}")
    assert time.monotonic() - began < 10


def test_secrets_of_the_worker_do_not_go_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    program(monkeypatch, tmp_path, "import json, os; print(json.dumps([dict(os.environ), '']))")
    found, _ = sandbox.described(MODEL_FILES)
    assert found is not None
    assert "MLFLOW_TRACKING_TOKEN" not in found


def test_many_threads_parse_one_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    run = subprocess.run

    def counting(*args: Any, **options: Any) -> Any:
        runs.append(args)
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", counting)
    threads = [Thread(target=sandbox.described, args=(MODEL_FILES,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1
