"""The doctor with real MLflow servers, and with the answers of such as are half guarded."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from mlflow_gate import attacks
from mlflow_gate.__main__ import AS_MEANT, NOT_SEEN, OTHERWISE, main
from mlflow_gate.attacks import FAILED, GOES_ON, NOT_TAKEN, OPEN, REFUSED, STOPPED, Answer, Attempt
from mlflow_gate.doctor import Doctor, Report, Tried

from tests.support.backstage import Backstage
from tests.support.gate import Countersign, policy_text
from tests.support.mlflow_server import ADMIN, MlflowServer, make_passwords_cheap, passwords
from tests.support.siege import GuardedMlflow

DENIED = "The tag countersign.probe is written by Countersign alone."


@pytest.mark.server
@pytest.mark.nodb
def test_a_guarded_mlflow_has_nothing_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Countersign() as site, GuardedMlflow(tmp_path, site, workers=2) as server:
        assert main(["doctor", server.url]) == AS_MEANT
        said = capsys.readouterr().out
        assert "\nNothing is open.\n" in said
        assert "OPEN" not in said
        assert "Left behind" not in said
        assert models(server) == []
        assert files(server) == []


@pytest.mark.server
@pytest.mark.nodb
def test_an_mlflow_without_the_gate_is_open_and_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with MlflowServer(tmp_path) as server:
        assert main(["doctor", server.url]) == OTHERWISE
        said = capsys.readouterr().out
        assert "move a version to Production                                   OPEN ×" in said
        assert "OPEN: MLflow has no gate" in said
        assert "OPEN: Files are not sealed" in said
        assert "Note: Whoever reaches MLflow may write to it" in said
        assert "\nThe gate is not shut.\n" in said
        assert models(server) == []
        assert files(server) == []


@pytest.mark.server
@pytest.mark.nodb
def test_an_engineer_whom_mlflow_keeps_to_their_own_experiments_can_tell_as_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    password = secrets.token_urlsafe(16)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    options, environment = ["--app-name=basic-auth"], passwords(tmp_path, password)
    with Countersign() as site, GuardedMlflow(tmp_path, site, options=options, environment=environment) as server:
        admin = Backstage(f"http://{ADMIN}:{password}@127.0.0.1:{server.port}")
        admin.call("POST", "users/create", username="rita", password=password)
        make_passwords_cheap(tmp_path, {ADMIN: password, "rita": password})
        assert main(["doctor", server.url, "--user", "rita"]) == AS_MEANT
        said = capsys.readouterr().out
        assert "Left behind" not in said
        assert "asks nobody who they are" not in said
        assert files(server) == []
        assert main(["doctor", server.url]) == NOT_SEEN
        assert "it lets in only who has a user" in capsys.readouterr().err


def models(server: MlflowServer) -> list[str]:
    found = attacks.Mlflow(server.url).call("GET", "mlflow/registered-models/search").text
    return [line for line in found.splitlines() if '"name"' in line]


def files(server: MlflowServer) -> list[Path]:
    return [path for path in server.artifacts.rglob("*") if path.is_file()]


# --- Without a server


def denied(mark: str, sentence: str = DENIED) -> Answer:
    text = f'{{"error_code": "PERMISSION_DENIED", "message": "{sentence} {mark}"}}'
    return Answer(403, text, {})


class Answering:
    """An MLflow that gives these answers to the probe, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def call(self, *_: Any) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


MISSING = Answer(404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No such model"}', {})
STANDS = denied("[gate 0.1 · policy 12 · enforce]")


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([STANDS], []),
        ([MISSING], [(True, "MLflow has no gate: its registry's address does not begin with countersign: there.")]),
        ([*[STANDS] * 7, MISSING], [(True, "1 of 8 connections met no gate: not each process has it.")]),
        (
            [denied("[gate 0.1 · policy 12 · observe]")],
            [(True, "The gate does not enforce: it is set to observe, or open.")],
        ),
        ([denied("[gate 0.2 · policy 12 · enforce]"), STANDS], [(False, "The gate has several versions: 0.1, 0.2.")]),
        (
            [denied("[gate 0.1 · policy 0 · enforce]")],
            [(False, "The gate has not reached Countersign yet and knows no policy.")],
        ),
        (
            [denied("[gate 0.1 · policy 12 · enforce]", f"{DENIED} Its policy is 25 minutes old.")],
            [(False, "Its policy is 25 minutes old. Countersign signs it anew each minute.")],
        ),
    ],
)
def test_what_the_probe_tells(answers: list[Answer], found: list[tuple[bool, str]]) -> None:
    doctor = Doctor("http://mlflow")
    doctor._mlflow = Answering(*answers)  # type: ignore[assignment]
    assert [(hole.is_open, hole.sentence) for hole in doctor._processes()] == found


def report(*verdicts: tuple[str, str]) -> Report:
    made = Report("MLflow")
    for expected, verdict in verdicts:
        answer = Answer(502, "Bad\ngateway", {})
        made.tried.append(Tried(Attempt("try", f"form of {verdict}", expected, "POST", "/x"), verdict, answer))
    return made


def test_what_is_open_is_shown_with_the_forms_that_are() -> None:
    found = report((REFUSED, REFUSED), (REFUSED, OPEN), (REFUSED, NOT_TAKEN))
    assert found.is_open
    assert "refused × 1, OPEN × 1, not taken × 1" in found.text
    assert "open: form of open" in found.text


def test_what_is_stopped_is_as_bad() -> None:
    found = report((GOES_ON, STOPPED))
    assert found.is_open
    assert "form of stopped: 502 Bad gateway" in found.text


def test_what_cannot_be_told_is_no_good_news() -> None:
    found = report((REFUSED, REFUSED), (REFUSED, FAILED))
    assert not found.is_open
    assert not found.is_certain
    assert found.text.endswith("Nothing was found open, and something could not be told.")


def test_where_nobody_answers_it_cannot_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "http://127.0.0.1:9"]) == NOT_SEEN
    assert "MLflow at http://127.0.0.1:9 cannot be tried:" in capsys.readouterr().err
    assert main(["doctor", "mlflow"]) == NOT_SEEN


def test_what_is_no_mlflow_is_not_tried(site: Countersign, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", site.url]) == NOT_SEEN
    assert "it answers 403 where MLflow says its version" in capsys.readouterr().err


def test_a_policy_as_countersign_signs_it_has_its_age() -> None:
    from mlflow_gate.policy import parse

    assert parse(policy_text(), "mlflow").signed_at == 1795773600
    assert parse(policy_text(issued_at="lately"), "mlflow").signed_at == 0
