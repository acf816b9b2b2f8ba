"""A job without a secret against the product: an issuer vouches for it, and it gets a token for 15 minutes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import ApiToken
from approvals import administration
from approvals.models import Action, AuditEvent, PromotionRequest, Target
from tests.support.command_line import command, started
from tests.support.factories import check, make_person, make_policy, make_service_account, make_version
from tests.support.issuer import Issuer, running
from tests.support.stub_api import Answer, serving
from tests.support.waiting import within
from tests.support.world import hold, settle

pytestmark = [pytest.mark.slow, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room

ASK = ("request", "churn_predictor", "2", "--to", "Production", "-m", "AUC +2 points")


@dataclass(frozen=True)
class Ci:
    issuer: Issuer
    """GitLab."""

    site: str
    github: dict[str, str]
    """What GitHub puts into a job's environment."""

    def gitlab(self, count: int) -> dict[str, str]:
        """With so many identity tokens."""
        names = ["COUNTERSIGN_ID_TOKEN", *(f"COUNTERSIGN_ID_TOKEN_{number}" for number in range(2, count + 1))]
        return {"COUNTERSIGN_URL": self.site, **{name: self.issuer.gitlab(self.site) for name in names}}


@pytest.fixture
def ci(site: str, settings: Settings) -> Iterator[Ci]:
    """Version 1 is in Production; `train-bot` of Rita Sanz trusts two repositories."""
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None))
    hold(make_version("churn_predictor", 1), production)
    make_version("churn_predictor", 2)
    rita = make_person("Rita Sanz", "requester")
    bot = make_service_account(owner=rita)
    settings.SITE_URL = site
    with running() as hub, running() as lab, serving() as github:
        settings.TOKEN_ISSUERS = (hub.url, lab.url)
        for provider, issuer, repository in (("github", hub, "acme/churn"), ("gitlab", lab, "acme/ml/churn")):
            administration.add_publisher(
                bot,
                provider=provider,
                issuer=issuer.url,
                repository=repository,
                ref="refs/heads/main",
                scopes=["read", "requests:write"],
                by=rita,
            )
        github.says("GET", "/id-token", *(Answer(body={"value": hub.github(site)}) for _ in range(6)))
        yield Ci(
            lab,
            site,
            {
                "COUNTERSIGN_URL": site,
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/id-token?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner",
                "GITHUB_RUN_ID": "8123",
            },
        )


def test_a_job_of_github_requests_and_waits_longer_than_its_token_lasts(ci: Ci) -> None:
    job = started(*ASK, "--wait", "--timeout", "50s", "--json", **ci.github)
    assert within(40, PromotionRequest.objects.exists)
    request = check(PromotionRequest.objects.with_subject().get())
    assert request.requester.name == "train-bot"
    through = AuditEvent.objects.get(action=Action.REQUEST_CREATED).data["through"]
    assert through["token"] == "acme/churn"
    assert through["run"].endswith("/acme/churn/actions/runs/8123")
    first = ApiToken.objects.get()
    ApiToken.objects.update(expires_at=timezone.now())
    settle(request, make_person("Remy Ortiz", "reviewer"))
    out, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert json.loads(out)["status"] == "applied"
    assert ApiToken.objects.exclude(pk=first.pk).count() == 1


def test_a_job_of_gitlab_has_an_identity_token_for_each_command(ci: Ci) -> None:
    job = ci.gitlab(2)
    made = command(*ASK, "--json", **job, CI_PIPELINE_ID="77")
    assert made.returncode == 0, made.stderr
    again = command(*ASK, "--json", **job, CI_PIPELINE_ID="77")
    assert json.loads(again.stdout)["id"] == json.loads(made.stdout)["id"]
    third = command("token", "check", **job)
    assert (third.returncode, third.stderr) == (3, "This identity token was used already. Ask for a new one.\n")


def test_a_wait_whose_last_token_ends_leaves_the_request_open(ci: Ci) -> None:
    job = started(*ASK, "--wait", "--timeout", "50s", **ci.gitlab(1))
    assert job.stderr
    while "in checks" not in job.stderr.readline():
        assert job.poll() is None
    ApiToken.objects.update(expires_at=timezone.now())
    check(PromotionRequest.objects.with_subject().get())
    _, said = job.communicate(timeout=60)
    assert job.returncode == 2, said
    assert "is still open. `countersign status" in said


def test_a_job_that_no_publisher_fits_is_refused(ci: Ci) -> None:
    for claims in ({"project_path": "mallory/churn"}, {"ref_path": "refs/heads/mine"}):
        token = ci.issuer.gitlab(ci.site, **claims)
        done = command("token", "check", COUNTERSIGN_URL=ci.site, COUNTERSIGN_ID_TOKEN=token)
        assert done.returncode == 3
        assert done.stderr.startswith("No trusted publisher fits ")
    other = ci.issuer.gitlab("https://other.example")
    done = command("token", "check", COUNTERSIGN_URL=ci.site, COUNTERSIGN_ID_TOKEN=other)
    assert f"Ask for one with the audience {ci.site}." in done.stderr
    assert ApiToken.objects.count() == 0
