"""What the Dockerfiles say, and how they name what they build on; tests/project/test_image.py builds them."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry_ui.demo.installation import ROOT
from tools import image, pins

DOCKERFILES = sorted(image.DOCKERFILES.values())


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "info", str(ROOT / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_it_runs_as_a_user_of_its_own_by_number(name: str) -> None:
    assert re.findall(r"^USER (\d+):\1$", (ROOT / name).read_text(), re.MULTILINE)


def test_what_is_copied_is_sent_to_the_builder_and_nothing_else() -> None:
    copied = {
        source
        for name in DOCKERFILES
        for sources in re.findall(r"^COPY ([^-].*) \S+$", (ROOT / name).read_text(), re.MULTILINE)
        for source in sources.split()
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {each for each in copied if not any(each == one or each.startswith(f"{one}/") for one in sent)} == set()
    assert {one for one in sent if not any(each == one or each.startswith(f"{one}/") for each in copied)} == set()


def test_one_base_for_all() -> None:
    bases = {re.findall(r"^ARG PYTHON_IMAGE=(.+)$", (ROOT / name).read_text(), re.MULTILINE)[0] for name in DOCKERFILES}
    assert len(bases) == 1


# --- Digests


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for file in pins.FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_each_image_that_is_fetched_gets_its_digest_and_a_newer_one_later(copy: Path) -> None:
    fetched = {line.rpartition(" ")[2] for line in pins.unpinned(copy)}
    compose = (ROOT / "docker-compose.yml").read_text()
    ours = set(image.DOCKERFILES)
    assert {each.partition("@")[0] for each in re.findall(r"^ +image: (\S+)$", compose, re.MULTILINE)} - ours <= {
        each["name"] for file in pins.FILES for each in pins.NAMED.finditer((ROOT / file).read_text())
    }

    def ask(name: str, salt: str = "") -> str:
        return f"sha256:{hashlib.sha256((name + salt).encode()).hexdigest()}"

    changed = pins.pin(copy, ask)
    assert {each.partition("@")[0] for each in changed} >= fetched
    assert pins.unpinned(copy) == []
    assert pins.pin(copy, ask) == []
    assert len(pins.pin(copy, lambda name: ask(name, "newer"))) == len(changed)
    text = (copy / "Dockerfile").read_text()
    assert re.findall(r"^ARG PYTHON_IMAGE=python:[\w.-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)


def test_without_a_registry_nothing_is_written(copy: Path) -> None:
    before = [(copy / file).read_text() for file in pins.FILES]
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        if len(asked) > 1:
            raise pins.CannotAsk("nobody there")
        return f"sha256:{'0' * 64}"

    with pytest.raises(pins.CannotAsk):
        pins.pin(copy, ask)
    assert [(copy / file).read_text() for file in pins.FILES] == before


def test_the_digest_is_that_of_the_bytes_that_the_registry_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "skopeo").write_text('#!/bin/sh\nprintf "%s" "$*"\n')
    (tmp_path / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said = b"inspect --raw docker://python:3.13-slim-trixie"
    assert pins.digest("python:3.13-slim-trixie") == f"sha256:{hashlib.sha256(said).hexdigest()}"
    (tmp_path / "skopeo").write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
    with pytest.raises(pins.CannotAsk, match="no route to host"):
        pins.digest("python:3.13-slim-trixie")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(pins.CannotAsk, match="skopeo or docker"):
        pins.digest("python:3.13-slim-trixie")


def test_all_are_named_by_digest_or_none_is() -> None:
    """Half of it would look like all of it. `--check` says which it is, and a release asks."""
    named = sum(len(pins.NAMED.findall((ROOT / file).read_text())) for file in pins.FILES)
    assert len(pins.unpinned()) in (0, named)
    assert "python tools/pins.py --check" in (ROOT / "docs" / "development.md").read_text()
