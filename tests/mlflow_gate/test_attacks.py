"""The attempts are worth something only if each of them works where there is no gate."""

from pathlib import Path

import pytest
from mlflow_gate import attacks
from mlflow_gate.attacks import FAILED, GOES_ON, NOT_TAKEN, OPEN, REFUSED, STOPPED, Answer, Attempt

from tests.support.mlflow_server import MlflowServer

MODEL = "countersign-doctor-test"


def test_without_the_gate_each_attack_works(tmp_path: Path) -> None:
    with MlflowServer(tmp_path) as server:
        mlflow = attacks.Mlflow(server.url)
        made = [mlflow.attempt(each).status for each in attacks.preparation(MODEL)]
        assert set(made) == {200}
        tried = [each for each in attacks.attacks(MODEL) if not each.held]
        came = {each.title: attacks.judge(each, mlflow.attempt(each)) for each in tried}
        assert {title: verdict for title, verdict in came.items() if verdict != OPEN} == {
            "move a version to Production (version as a number)": NOT_TAKEN
        }
        assert len(came) > 60

        files = {each: attacks.judge(each, mlflow.attempt(each)) for each in attacks.file_attacks()}
        # A local folder takes no uploads in parts, and MLflow no doubled slashes of a file that is put there.
        other = {each.title for each, verdict in files.items() if verdict != OPEN and "in parts" not in each.what}
        assert other == {
            f"put a file into a sealed folder ({form})"
            for form in (
                *("slashes doubled", "slashes doubled, MLflow's pages"),
                *("a dot between", "a dot between, MLflow's pages"),
            )
        }

        free = [*attacks.what_goes_on(MODEL), *attacks.files_that_go_on("countersign-doctor/test")]
        went = {each.title: attacks.judge(each, mlflow.attempt(each)) for each in free}
        assert [title for title, verdict in went.items() if verdict != GOES_ON] == [
            each.title for each in free if each.without
        ], "only what the gate leaves out is written without it"


@pytest.mark.parametrize(
    ("expected", "status", "text", "verdict"),
    [
        (REFUSED, 200, "{}", OPEN),
        (REFUSED, 403, '{"error_code": "PERMISSION_DENIED", "message": "No. [gate 0.1]"}', REFUSED),
        (REFUSED, 403, "Permission denied", REFUSED),
        (REFUSED, 400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "What?"}', NOT_TAKEN),
        (REFUSED, 404, "Not Found", NOT_TAKEN),
        (REFUSED, 502, "Bad gateway", FAILED),
        (GOES_ON, 200, '{"key": "mine"}', GOES_ON),
        (GOES_ON, 200, '{"key": "forged"}', OPEN),
        (GOES_ON, 403, '{"error_code": "PERMISSION_DENIED", "message": "No. [gate 0.1]"}', STOPPED),
        (GOES_ON, 403, "Permission denied", FAILED),
    ],
)
def test_what_an_answer_says(expected: str, status: int, text: str, verdict: str) -> None:
    attempt = Attempt("try", "", expected, "POST", "/x", without=("forged",))
    assert attacks.judge(attempt, Answer(status, text, {})) == verdict


@pytest.mark.parametrize("url", ["", "mlflow", "sqlite:///x.db", "http://"])
def test_an_address_is_one_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match="not the address of a server"):
        attacks.Mlflow(url)
