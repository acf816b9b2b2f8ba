"""The page that explains the API. What it shows works as it stands: every example is run against the product."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from accounts import roles
from accounts.models import User
from api import reference
from api.v1 import api
from approvals.models import PolicyFeed, Target
from registry_ui.demo.installation import ROOT
from tests.support.factories import (
    make_incident,
    make_person,
    make_request,
    make_tenure,
    make_token,
    make_version,
    make_webhook,
)
from tests.support.world import hold, settle

GUIDE = (ROOT / "docs" / "api.md").read_text()
OPERATIONS = {each.name: each for group in reference.groups() for each in group.operations}


def test_every_operation_is_on_the_page_with_its_scope(client: Client, rita: User) -> None:
    client.force_login(rita)
    page = html.unescape(client.get("/api/docs/").content.decode())
    assert len(OPERATIONS) == sum(len(methods) for methods in api.get_openapi_schema()["paths"].values())
    for operation in OPERATIONS.values():
        assert f'id="{operation.name}"' in page
        assert operation.summary in page
    assert "Request promotions, comment, submit again and withdraw." in page
    assert f'<a href="{reverse("approvals:tokens")}">' in page
    assert page.count("What the pages show and do, for programs") == 1


def test_what_is_in_an_object_is_on_the_page() -> None:
    kinds = {each.name: each.kind for each in OPERATIONS["get_request"].answer}
    assert kinds["requested_by"] == "object with name, email, kind"
    assert kinds["missing"] == "list of objects with approvals, group, sentence"
    assert kinds["actions"] == "object of objects with is_allowed, code, reason"
    assert kinds["version"] == "text"


def test_the_page_is_for_people_who_are_signed_in(client: Client, db: None) -> None:
    assert client.get("/api/docs/").status_code == 302


def test_the_guide_lists_every_operation_with_its_scope() -> None:
    listed = dict(re.findall(r"^\| `(\w+ /\S*)` \| (?:`(\S+)`)? ?\|$", GUIDE, re.MULTILINE))
    assert listed == {f"{each.method} {each.path}": each.scope for each in OPERATIONS.values()}


@pytest.fixture
def served(committed: None, settings: Any) -> Iterator[dict[str, str]]:
    """The environment of who has a token with every scope; what the examples speak of is there."""
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    production = Target.objects.get(name="Production")
    zoe, remy, rosa = (make_person(name, *roles.PERMISSIONS) for name in ("Zoe Zander", "Remy Ortiz", "Rosa Lind"))
    versions = [make_version("churn_predictor", number) for number in (1, 2, 3)]
    settle(make_request(versions[0], production, by=zoe), remy, rosa)
    hold(versions[0], production)
    make_tenure("churn_predictor", 2, production, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
    make_incident(target=production)
    make_webhook()
    PolicyFeed.objects.update_or_create(pk=1, defaults={"text": "{}", "signature": "c2ln"})
    server = LiveServer("127.0.0.1")
    settings.SITE_URL = server.url
    yield os.environ | {"COUNTERSIGN_URL": server.url, "COUNTERSIGN_TOKEN": make_token(zoe)}
    server.stop()


def said(program: list[str], source: str, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run([*program, source], env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_every_example_that_reads_works_as_it_stands(served: dict[str, str]) -> None:
    failed = {}
    for operation in OPERATIONS.values():
        if operation.method == "GET":
            for program, source in ((["sh", "-c"], operation.curl), ([sys.executable, "-c"], operation.python)):
                code, words = said(program, source, served)
                if code or not words.startswith("{"):
                    failed[operation.name, program[0]] = words
    assert failed == {}


@pytest.mark.slow
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_every_example_of_the_guide_works_as_it_stands(served: dict[str, str]) -> None:
    examples = re.findall(r"^```(sh|python)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    printed = []
    for language, source in examples[1:]:
        code, words = said(["sh", "-ec"] if language == "sh" else [sys.executable, "-c"], source, served)
        assert code == 0, words
        printed.append(words)
    holders = [json.loads(line) for line in printed[0].replace("}{", "}\n{").splitlines()]
    assert [each["version"] for each in holders] == ["1", "2"]
    assert f"{served['COUNTERSIGN_URL']}/requests/" in printed[1]
    assert printed[2] == "churn_predictor 3\n"


@pytest.mark.parametrize("name", [name for name, each in OPERATIONS.items() if each.method == "POST"])
def test_what_is_sent_as_an_example_is_json(name: str) -> None:
    found = re.search(r"--data '(.*)' \\\n", OPERATIONS[name].curl)
    if found:
        assert isinstance(json.loads(found[1]), dict)
    compile(OPERATIONS[name].python, name, "exec")
