import hashlib

import pytest
from countersign import pipeline


def test_the_key_is_of_the_model_the_version_the_target_and_the_run() -> None:
    key = pipeline.idempotency_key("churn", "7", "Production", "GITHUB_RUN_ID=9")
    assert key == hashlib.sha256(b'["churn","7","Production","GITHUB_RUN_ID=9"]').hexdigest()
    others = [
        ("churn2", "7", "Production", "r"),
        ("churn", "72", "Production", "r"),
        ("churn", "7", "2Production", "r"),
    ]
    assert len({key, *(pipeline.idempotency_key(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"GITHUB_RUN_ID": "9", "GITHUB_RUN_ATTEMPT": "2"}, "GITHUB_RUN_ID=9"),
        ({"CI_PIPELINE_ID": "9", "CI_JOB_ID": "10"}, "CI_PIPELINE_ID=9"),
        ({"GITHUB_RUN_ID": "", "BUILD_TAG": "jenkins-a-1"}, "BUILD_TAG=jenkins-a-1"),
        ({"GITHUB_RUN_ID": "9", "COUNTERSIGN_RUN_ID": "mine"}, "COUNTERSIGN_RUN_ID=mine"),
    ],
)
def test_the_run_stays_when_a_job_runs_again(environment: dict[str, str], expected: str) -> None:
    assert pipeline.run_id(environment) == expected


def test_the_page_of_the_run() -> None:
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "9"}
    assert pipeline.run_url(github) == "https://github.com/acme/churn/actions/runs/9"
    assert pipeline.run_url({"CI_JOB_URL": "https://gitlab.example/acme/churn/-/jobs/1"}).endswith("/jobs/1")
    assert pipeline.run_url({}) == ""
