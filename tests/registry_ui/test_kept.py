"""A secret may be in a file that is exchanged while the process runs."""

from pathlib import Path

import pytest

from registry_ui.kept import Kept


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text(" first \n")
    return tmp_path / "secret"


def test_a_variable_is_read_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept("SECRET")
    assert kept.read() == ""
    monkeypatch.setenv("SECRET", " hush ")
    assert kept.read() == "hush"


def test_a_file_goes_before_the_variable_and_is_read_again_when_it_changed(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the variable")
    kept = Kept("SECRET")
    assert kept.read() == "first"
    secret.write_text("the second")
    assert kept.read() == "the second"
    other = secret.with_name("other")
    other.write_text("the third!")
    other.replace(secret)
    assert kept.read() == "the third!"


def test_an_unchanged_file_is_not_opened_again(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept("SECRET")
    kept.read()
    monkeypatch.setattr(Path, "read_text", lambda _: pytest.fail("It was read again."))
    assert kept.read() == "first"


def test_a_file_that_is_away_for_a_moment_says_what_it_said(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept("SECRET")
    kept.read()
    secret.unlink()
    assert kept.read() == "first"
    assert kept.read(anew=True) == "first"
    secret.write_bytes(b"\xff\xfe")
    assert kept.read() == "first", "nor is what cannot be read a secret"
    monkeypatch.setenv("SECRET_FILE", str(secret.with_name("another")))
    assert kept.read() == "", "what one file said is not said of another"
