"""What an auditor takes away: a verification by the worker, a signed checkpoint that the verifier accepts on its own,
and the archive of a sample whose checksums are right."""

import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]
MODEL = "on_record"


@pytest.fixture(scope="module", autouse=True)
def promoted(stack: Stack) -> None:
    stack.make_version(MODEL)
    asked = stack.probe("approved_request", MODEL, 1)
    stack.wait_for("the delivery", lambda: stack.probe("state", asked)["status"] == "applied")


def download(page: Page, name: str | re.Pattern[str], folder: Path) -> Path:
    with page.expect_download() as started:
        page.get_by_role("link", name=name).first.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_the_worker_verifies_and_the_verifier_agrees_alone(stack: Stack, sign_in: SignIn, tmp_path: Path) -> None:
    ada, vera = sign_in("ada"), sign_in("vera")
    vera.goto(f"{stack.url}/history/ledger/")
    vera.get_by_role("button", name="Verify now").click()
    # Nobody reloads: the page follows the worker by itself.
    expect(vera.locator("#ledger-state").get_by_text("Intact")).to_be_visible(timeout=60_000)
    vera.reload()
    newest = vera.get_by_role("table", name="The newest verifications").get_by_role("row").nth(1)
    expect(newest).to_contain_text("Intact")
    expect(newest).to_contain_text("Vera Holm")

    ada.goto(f"{stack.url}/history/ledger/")
    ada.get_by_role("button", name="Sign checkpoint").click()
    expect(ada.get_by_role("rowheader", name="Checkpoint 1", exact=True)).to_be_visible(timeout=60_000)
    vera.reload()
    files = {
        name: download(vera, name, tmp_path) for name in ("Whole history, JSON Lines", "All checkpoints", "verifier.py")
    }
    history, checkpoints, verifier = files.values()
    key = vera.locator("pre.code").inner_text().split("--public-key '")[1].split("'")[0]
    command = [sys.executable, "-I", verifier, history, "--checkpoint", checkpoints, "--public-key", key]
    honest = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert honest.returncode == 0, honest.stdout + honest.stderr
    history.write_text(history.read_text().replace(f'"{MODEL}"', '"off_record"', 1))
    altered = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert altered.returncode != 0


def test_the_archive_of_a_sample_is_whole(stack: Stack, sign_in: SignIn, tmp_path: Path) -> None:
    vera = sign_in("vera")
    vera.goto(f"{stack.url}/history/")
    vera.get_by_role("link", name="Audit", exact=True).click()
    vera.get_by_role("link", name="This quarter").click()
    expect(vera.get_by_text("Complete: every change is accounted for", exact=True)).to_be_visible()
    archive = zipfile.ZipFile(download(vera, re.compile(r"^Download sample \(\d+ changes?, ZIP\)$"), tmp_path))
    manifest = dict(reversed(line.split("  ", 1)) for line in archive.read("MANIFEST.sha256").decode().splitlines())
    assert set(manifest) == set(archive.namelist()) - {"MANIFEST.sha256"}
    for name, digest in manifest.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    population = csv.DictReader(io.StringIO(archive.read("population.csv").decode()))
    assert MODEL in {row["model"] for row in population}
    for row in csv.DictReader(io.StringIO(archive.read("sample.csv").decode())):
        assert f"{row['folder']}/unit.json" in manifest
