"""docs/command-line.md: each command is there, and each block is what the command prints against the product."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from countersign.cli import cli
from pytest_django import Settings

from approvals.models import PromotionRequest, Target
from registry_ui.demo.installation import ROOT
from tests.support.command_line import PYTHON, clean_environment
from tests.support.factories import check, make_person, make_policy, make_service_account, make_token, make_version
from tests.support.world import bypass, hold, settle

PAGE = ROOT / "docs" / "command-line.md"
BLOCKS = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SITE = "https://countersign.example"
SAME = (
    (re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+"), SITE),
    (re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d UTC"), "2026-05-04 09:00 UTC"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z"), "2026-05-04T09:00:00Z"),
    (re.compile(r"csn_\w{6}…"), "csn_8Jk2Lm…"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "5f2c" + "…"),
)
"""What differs from run to run, and what stands for it on the page."""


def alike(text: str) -> str:
    for pattern, instead in SAME:
        text = pattern.sub(instead, text)
    return text


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def test_every_command_and_option_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name, command in walk(cli, ""):
        assert re.search(rf"\bcountersign {name}\b|`{name}`", text), name
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in {"help", "version"}:
                assert any(word in text for word in option.opts), f"{name} {option.opts}"


def walk(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.fixture
def environment(site: str, settings: Settings) -> dict[str, str]:
    settings.SITE_URL = site
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None), on_record=True)
    hold(make_version("churn_predictor", 6), production)
    for number in (7, 8):
        make_version("churn_predictor", number, metrics={"auc": 0.93})
    bot = make_service_account(owner=make_person("Rita Sanz", "requester"), groups=("requester", "auditor"))
    token = make_token(bot, "read", "evidence:read", "requests:write", "audit:read")
    return clean_environment(COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=token, COLUMNS="100")


def astray() -> None:
    bypass(make_version("churn_predictor", 9), Target.objects.get(name="Production"), "Production")


@pytest.mark.slow
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_the_page_shows_what_the_commands_print(environment: dict[str, str], tmp_path: Path) -> None:
    before: dict[str, Callable[[], None]] = {"countersign incidents": astray}
    shown, printed = [], []
    for block in BLOCKS.findall(PAGE.read_text()):
        for command, output in commands(block):
            before.pop(command, lambda: None)()
            shown.append((command, output))
            printed.append((command, alike(run(command, environment, tmp_path))))
    if os.environ.get("REWRITE_DOCS"):
        rewrite(printed)
    assert [(command, alike(output)) for command, output in shown] == printed


def run(command: str, environment: dict[str, str], folder: Path) -> str:
    assert command.startswith("countersign ")
    process = subprocess.Popen(
        ["bash", "-c", f'countersign() {{ "{PYTHON}" -m countersign "$@"; }}; {command}'],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    out = ""
    if "--wait" in command:
        request = check(PromotionRequest.objects.with_subject().get())
        while "waiting for review" not in out:
            out += process.stdout.readline()
        settle(request, make_person("Remy Ortiz", "reviewer"))
    rest, _ = process.communicate(timeout=60)
    return out + rest


def rewrite(printed: list[tuple[str, str]]) -> None:
    """The page with what is printed now: REWRITE_DOCS=1."""
    rest = iter(printed)

    def block(found: re.Match[str]) -> str:
        lines = [f"$ {command}\n{output}" for command, output in (next(rest) for _ in commands(found[1]))]
        return "```console\n" + "".join(lines) + "```"

    PAGE.write_text(BLOCKS.sub(block, PAGE.read_text()))
