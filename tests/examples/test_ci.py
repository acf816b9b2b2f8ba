"""The examples for pipelines: they parse, keep no secret, leave the command time to end, and their scripts do what they
say against the product."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from countersign import durations
from countersign.credentials import ID_TOKENS
from countersign.version import __version__
from pytest_django.live_server_helper import LiveServer

from approvals.models import PromotionRequest, Status, Target
from registry_ui.demo.installation import ROOT
from tests.support.command_line import PYTHON, clean_environment
from tests.support.factories import check, make_person, make_policy, make_service_account, make_token, make_version
from tests.support.waiting import within
from tests.support.world import hold, settle

EXAMPLES = ROOT / "examples" / "ci"
GITHUB = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
GITLAB = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
ON = True
"""What `on` is in YAML 1.1."""

INSTALL = f"pip install countersign-client=={__version__}"
URL = "https://countersign.example"


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = GITHUB["jobs"][job]["steps"]
    return found


def waited(script: str) -> int:
    """Seconds that the command in it waits."""
    found = re.search(r"--timeout (\w+)", script)
    assert found
    return durations.seconds(found[1])


def test_github_vouches_for_a_job_that_may_do_nothing_else() -> None:
    assert GITHUB["permissions"] == {"id-token": "write"}
    assert GITHUB["env"] == {"COUNTERSIGN_URL": URL}
    assert set(GITHUB["jobs"]) == {"request", "deploy"}
    assert not any("permissions" in job for job in GITHUB["jobs"].values())
    assert GITHUB[ON]["repository_dispatch"] == {"types": ["countersign-applied"]}


def test_a_job_of_github_has_time_to_say_what_happened_and_is_alone_for_its_model() -> None:
    job = GITHUB["jobs"]["request"]
    assert job["timeout-minutes"] * 60 > waited(steps("request")[-1]["run"]) + 300
    assert job["concurrency"]["group"] == "promote-${{ inputs.model }}"


@pytest.mark.parametrize("job", ["request", "deploy"])
def test_nothing_that_people_type_becomes_a_part_of_a_script(job: str) -> None:
    install, *others = steps(job)
    assert install["run"] == INSTALL
    for step in others:
        assert "${{" not in step["run"]
        assert set(re.findall(r"\$(\w+)", step["run"])) - {"version"} == set(step["env"])


def test_gitlab_vouches_for_a_job_and_promotes_one_at_a_time() -> None:
    base = GITLAB[".countersign"]
    assert GITLAB["variables"]["COUNTERSIGN_URL"] == URL
    assert [*base["id_tokens"]] == [*ID_TOKENS[:2]]
    assert all(token == {"aud": URL} for token in base["id_tokens"].values())
    assert waited(GITLAB["promote"]["script"][0]) < 2 * 900
    assert base["resource_group"] == "promote-$MODEL"
    assert base["before_script"] == [INSTALL]
    for name in ("promote", "promote again"):
        job = GITLAB[name]
        assert job["extends"] == ".countersign"
        (script,) = job["script"]
        minutes = {"35m": 35, "10m": 10}[job["timeout"]]
        assert minutes * 60 > waited(script) + 240
    asks = [re.sub(r"--timeout \w+", "", GITLAB[name]["script"][0]) for name in ("promote", "promote again")]
    assert asks[0] == asks[1]  # or it would be another request
    assert GITLAB["promote"]["allow_failure"]["exit_codes"] == [2]


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_no_secret_is_kept(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert "COUNTERSIGN_TOKEN" not in text
    assert "secrets." not in text
    assert "csn_" not in text


# --- The scripts, run


@pytest.fixture
def environment(committed: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a job, with `countersign` installed and a token; version 1 is in Production, version 2 is not."""
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None))
    hold(make_version("churn_predictor", 1), production)
    make_version("churn_predictor", 2)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "countersign").write_text(f'#!/bin/sh\nexec {PYTHON} -m countersign "$@"\n')
    (programs / "countersign").chmod(0o755)
    server = LiveServer("127.0.0.1")
    yield clean_environment(
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        COUNTERSIGN_URL=server.url,
        COUNTERSIGN_TOKEN=make_token(make_service_account(owner=make_person("Rita Sanz", "requester"))),
        MODEL="churn_predictor",
        VERSION="2",
    )
    server.stop()


def begin(script: str, environment: dict[str, str], folder: Path) -> "subprocess.Popen[str]":
    """As both services run it."""
    return subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_the_workflow_of_github_promotes_and_then_deploys(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"REASON": 'AUC +2 "points"; $(false)', "GITHUB_RUN_ID": "9"}
    job = begin(steps("request")[-1]["run"], environment, tmp_path)
    assert within(40, PromotionRequest.objects.exists)
    settle(check(PromotionRequest.objects.with_subject().get()), make_person("Remy Ortiz", "reviewer"))
    _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert PromotionRequest.objects.get().justification == 'AUC +2 "points"; $(false)'
    deploy = begin(steps("deploy")[-1]["run"], environment, tmp_path)
    out, said = deploy.communicate(timeout=60)
    assert (deploy.returncode, out) == (0, "Deploying churn_predictor version 2\n"), said


@pytest.mark.slow
@pytest.mark.nodb  # what answers is asked on each database by the tests of its room
def test_the_pipeline_of_gitlab_looks_again_at_what_was_still_open(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"CI_COMMIT_TITLE": "Train with May's data", "CI_PIPELINE_ID": "77"}
    first, again = ({**environment, "CI_JOB_ID": number} for number in ("1", "2"))
    script = GITLAB["promote"]["script"][0].replace("--timeout 28m", "--timeout 1s")
    job = begin(script, first, tmp_path)
    _, said = job.communicate(timeout=60)
    assert job.returncode in GITLAB["promote"]["allow_failure"]["exit_codes"], said
    settle(check(PromotionRequest.objects.with_subject().get()), make_person("Remy Ortiz", "reviewer"))
    job = begin(GITLAB["promote again"]["script"][0], again, tmp_path)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert [each.status for each in PromotionRequest.objects.all()] == [Status.APPLIED]
