"""docs/databricks.md: its scripts run as they are printed, and its table has every call."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from api.databricks import urls
from approvals import assessment
from approvals.models import PromotionRequest, Review, Target
from registry_ui.demo.installation import ROOT
from tests.support.factories import make_person, make_policy, make_token
from tests.support.world import make_registry

PAGE = (ROOT / "docs" / "databricks.md").read_text()
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
HOST = "https://countersign.example.com"


@pytest.fixture
def site(committed: None, settings: Any) -> Iterator[LiveServer]:
    server = LiveServer("127.0.0.1")
    settings.SITE_URL = server.url
    yield server
    server.stop()


def run(script: str, site: LiveServer, token: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABRICKS")}
    done = subprocess.run(
        [sys.executable, "-c", script.replace(HOST, site.url)],
        env=environment | {"DATABRICKS_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.server
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_the_scripts_of_the_page_run_as_they_are_printed(site: LiveServer) -> None:
    registry = make_registry(production=1)
    make_policy("*", Target.objects.get(name="Production"), (1, None))
    rita = make_token(make_person("Rita Sanz", "requester", "reviewer"))
    remy = make_token(make_person("Remy Ortiz", "reviewer"))
    asking, deciding = SCRIPTS
    said = run(asking, site, rita).splitlines()
    assert said == [
        "Production ['CANCEL_TRANSITION_REQUEST']",
        "rita@example.com AUC up 2 points on the March holdout.",
    ]
    client = asking[: asking.index("made =")]
    assert run(client + deciding, site, remy).startswith("CHECKS_RUNNING The automatic checks")
    assert assessment.assess(PromotionRequest.objects.get().pk, registry) == "concluded"
    assert run(client + deciding, site, rita).startswith("SELF_APPROVAL You requested")
    assert run(client + deciding, site, remy) == ""
    assert Review.objects.get().comment == "Checked."


def test_the_table_has_every_call() -> None:
    table = set(re.findall(r"^\| `(?:GET|POST|PATCH|DELETE) ([a-z/-]+)` \|", PAGE, re.MULTILINE))
    known = {str(each.pattern).rstrip("/") for each in urls.CALLS} - {"<path:rest>", ""}
    assert table == known
