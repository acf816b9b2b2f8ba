"""The example that posts health reports, against a live server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from approvals.models import Action, AuditEvent, Probation, PromotionRequest, Target
from approvals.webhooks import health_reports
from registry_ui.demo.installation import ROOT
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.world import settle

MODEL = "churn_predictor"


@pytest.fixture
def address(committed: None, live_server_address: str) -> str:
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None))
    request = approve(make_request(make_version(MODEL), production, by=rita), remy)
    with transaction.atomic():
        settle(request)
    now = timezone.now()
    row = Probation.objects.create(request=request, started_at=now, ends_at=now + timedelta(hours=1), token="t" * 43)
    return f"{live_server_address}/callbacks/health/{row.token}/"


@pytest.fixture
def live_server_address(committed: None) -> Iterator[str]:
    server = LiveServer("127.0.0.1")
    yield server.url
    server.stop()


def run(address: str, *arguments: str, secret: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "health_report.py"), address, *arguments],
        env=os.environ | {"HEALTH_SECRET": secret or health_reports.secret_for(MODEL)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_reports_and_the_end_follows_from_a_bad_one(address: str) -> None:
    good = run(address, "--healthy", "--reported-by", "Grafana")
    assert (good.returncode, good.stdout.strip()) == (0, "The report is recorded.")
    wrong = run(address, "--healthy", secret=health_reports.secret_for("another"))
    assert wrong.returncode == 1
    assert "401" in wrong.stderr
    bad = run(address, "--reason", "p95 latency is 4.2 s", "--reported-by", "Grafana")
    assert bad.stdout.strip() == "The report is recorded, and the probation ends with it."
    assert Probation.objects.get().reason.startswith("Grafana reported that it is not healthy: p95 latency is 4.2 s")
    told = AuditEvent.objects.filter(action=Action.HEALTH_REPORTED).order_by("sequence")
    assert [event.data["healthy"] for event in told] == [True, False]
    assert PromotionRequest.objects.count() == 1  # there was nothing to roll back to
