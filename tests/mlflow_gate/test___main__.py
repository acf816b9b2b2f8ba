import os
import subprocess
import sys
import time

import pytest
from mlflow_gate import source
from mlflow_gate.__main__ import AS_MEANT, NOT_SEEN, OTHERWISE, main
from mlflow_gate.settings import Settings

from tests.support.gate import Countersign, policy_text, rule
from tests.support.mlflow_server import GATE


@pytest.fixture(autouse=True)
def environment(site: Countersign, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in site.environment(COUNTERSIGN_GATE_STATE=str(settings.state)).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def known(settings: Settings, site: Countersign) -> None:
    found = source.fetch(settings)
    assert found
    found.write(settings.state)


@pytest.mark.usefixtures("known")
def test_policy_says_what_is_enforced_and_since_when(capsys: pytest.CaptureFixture[str], site: Countersign) -> None:
    assert main(["policy"]) == AS_MEANT
    said = capsys.readouterr().out
    assert "Policy 12, as of 2026-11-27T10:00:00Z, is kept in" in said
    assert "/gate/policy says the same." in said
    assert "enforce  Production, @champion    of * except sandbox_*: it needs two approvals" in said
    assert "1 folders of files are sealed." in said
    site.serve(policy_text(serial=13))
    main(["policy"])
    assert "/gate/policy has policy 13." in capsys.readouterr().out


def test_policy_says_that_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy"]) == OTHERWISE
    assert "what could be a place is closed, and no files are sealed" in capsys.readouterr().out


@pytest.mark.usefixtures("known")
def test_policy_says_that_countersign_is_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_GATE_POLICY", "http://127.0.0.1:9/gate/policy")
    assert main(["policy"]) == AS_MEANT, "it goes on enforcing"
    assert "cannot be asked now" in capsys.readouterr().out


@pytest.mark.usefixtures("known")
def test_open_and_close(capsys: pytest.CaptureFixture[str], site: Countersign, settings: Settings) -> None:
    assert main(["open", "--minutes", "30", "--reason", "Countersign is lost"]) == AS_MEANT
    said = capsys.readouterr().out
    assert "The gate is open until" in said
    assert "Countersign knows." in said
    assert "no server has kept" not in said
    assert [(each["minutes"], each["reason"]) for each in site.openings] == [(30, "Countersign is lost")]
    assert abs(site.openings[0]["at"] - time.time()) < 60
    assert main(["policy"]) == OTHERWISE
    assert "It is OPEN until" in capsys.readouterr().out
    assert main(["open", "--close"]) == AS_MEANT
    assert capsys.readouterr().out == "The gate is shut.\n"
    assert main(["policy"]) == AS_MEANT
    main(["open", "--close"])
    assert "The gate was not open." in capsys.readouterr().out


def test_open_while_countersign_is_away(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_SITE_URL", "http://127.0.0.1:9")
    assert main(["open", "--minutes", "5", "--reason", "It is lost"]) == AS_MEANT
    said = capsys.readouterr().out
    assert "tells it as soon as it can be" in said
    assert "But no server has kept a policy in" in said, "the file may lie where the server does not look"


@pytest.mark.parametrize(
    "words", [["open"], ["open", "--minutes", "5"], ["open", "--reason", "Because"], ["open", "--minutes", "much"], []]
)
def test_what_is_missing_is_said(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == NOT_SEEN


def test_a_reason_is_needed(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    assert main(["open", "--minutes", "5", "--reason", " "]) == NOT_SEEN
    assert "Say why" in capsys.readouterr().err
    assert not settings.opening.exists()


@pytest.mark.parametrize("missing", ["COUNTERSIGN_SITE_URL", "COUNTERSIGN_GATE_KEYS"])
def test_without_the_servers_environment_it_says_so(
    missing: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    assert main(["policy"]) == NOT_SEEN
    assert f"{missing} is missing" in capsys.readouterr().err


def test_what_is_only_observed_is_not_enforced(site: Countersign, settings: Settings) -> None:
    site.serve(policy_text(rule(mode="observe")))
    found = source.fetch(settings)
    assert found
    found.write(settings.state)
    assert main(["policy"]) == OTHERWISE


def test_it_is_a_command_that_needs_no_mlflow() -> None:
    code = "import sys; sys.modules['mlflow'] = sys.modules['flask'] = None; sys.argv = ['x', 'policy']"
    code += "; import runpy; runpy.run_module('mlflow_gate', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(GATE)}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == OTHERWISE, done.stderr
    assert "No policy is kept" in done.stdout
