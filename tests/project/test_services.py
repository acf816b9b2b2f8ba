import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import helm, services


def test_who_may_not_install_is_given_the_exact_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(services, "find", lambda program: None if program in ("nginx", "initdb") else "/usr/bin/it")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert services.main() == 1
    said = capsys.readouterr().err
    assert "sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends postgresql nginx'" in said


def test_an_installation_that_fails_shows_what_was_said_and_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(packages: list[str]) -> None:
        raise subprocess.CalledProcessError(100, "apt-get", output=f"Unable to locate package {packages[0]}")

    monkeypatch.setattr(services, "find", lambda program: None if program == "redis-server" else "/usr/bin/it")
    monkeypatch.setattr(services, "install", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    assert services.main() == 1
    said = capsys.readouterr().err
    assert "Unable to locate package redis-server" in said
    assert "apt-get install --yes --no-install-recommends redis-server" in said


@pytest.mark.parametrize("code", [0, 1])
def test_nothing_is_installed_when_all_is_there_but_helm_which_says_itself_whether_it_is(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "find", lambda _: "/usr/bin/it")
    monkeypatch.setattr(services, "install", lambda _: pytest.fail("There was nothing to install."))
    monkeypatch.setattr(services, "HELM", tmp_path / "helm.py")
    (tmp_path / "helm.py").write_text(f"raise SystemExit({code})")
    assert services.main() == code


def test_another_archive_than_the_one_that_is_named_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"not {helm.SHA256}"):
        helm.unpack(b"another", tmp_path / "tools")
    assert list(tmp_path.iterdir()) == []
