import json
import time
from pathlib import Path

import pytest
from mlflow_gate import grants
from mlflow_gate.settings import Settings, weaker

from tests.support.gate import OTHER_KEY, PUBLIC_KEY

GIVEN = {"COUNTERSIGN_SITE_URL": "https://countersign.example/", "COUNTERSIGN_GATE_KEYS": PUBLIC_KEY}


def test_two_variables_are_enough() -> None:
    settings = Settings.from_environment(GIVEN)
    assert settings.site == "https://countersign.example"
    assert settings.policy == "https://countersign.example/gate/policy"
    assert (settings.audience, settings.mode, settings.token) == ("mlflow", "enforce", "")
    assert settings.state == Path.home() / ".cache" / "countersign-gate.json"


@pytest.mark.parametrize(
    ("policy", "reached"),
    [
        ("", "https://countersign.example"),
        ("http://web:8000/gate/policy", "http://web:8000"),
        ("https://host/under/gate/policy", "https://host/under"),
        ("/etc/gate/policy", "https://countersign.example"),
        ("https://files.example/policy.json", "https://countersign.example"),
    ],
)
def test_countersign_is_told_where_the_policy_comes_from(policy: str, reached: str) -> None:
    settings = Settings.from_environment(GIVEN | {"COUNTERSIGN_GATE_POLICY": policy})
    assert settings.countersign == reached
    assert settings.site == "https://countersign.example", "people open it there all the same"


def test_several_keys_while_they_are_exchanged() -> None:
    both = f"{PUBLIC_KEY}, {grants.public_key_of(OTHER_KEY)},"
    assert len(Settings.from_environment(GIVEN | {"COUNTERSIGN_GATE_KEYS": both}).keys) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"COUNTERSIGN_SITE_URL": ""},
            "COUNTERSIGN_SITE_URL is missing: the address at which people open Countersign.",
        ),
        ({"COUNTERSIGN_SITE_URL": "countersign.example"}, "COUNTERSIGN_SITE_URL is missing"),
        ({"COUNTERSIGN_GATE_KEYS": ""}, "COUNTERSIGN_GATE_KEYS is missing: the public key of Countersign"),
        ({"COUNTERSIGN_GATE_KEYS": f"{PUBLIC_KEY},abc"}, "COUNTERSIGN_GATE_KEYS cannot be read. A key is 32 bytes"),
        ({"COUNTERSIGN_GATE_MODE": "strict"}, "COUNTERSIGN_GATE_MODE is 'strict'; it is one of off, observe, enforce."),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^COUNTERSIGN") as caught:
        Settings.from_environment(GIVEN | changes)
    assert str(caught.value).startswith(sentence)


def test_the_operator_opens_it_for_minutes(tmp_path: Path) -> None:
    settings = Settings.from_environment(GIVEN | {"COUNTERSIGN_GATE_STATE": str(tmp_path / "gate.json")})
    assert settings.mode_now() == "enforce"
    settings.opening.write_text(json.dumps({"until": time.time() + 60, "reason": "Countersign is lost."}))
    assert settings.mode_now() == "observe"
    settings.opening.write_text(json.dumps({"until": time.time() - 1}))
    assert settings.mode_now() == "enforce"
    for nonsense in ("", "[]", "{}", '{"until": null}', '{"until": "soon"}'):
        settings.opening.write_text(nonsense)
        assert settings.mode_now() == "enforce"


def test_an_opening_strengthens_nothing() -> None:
    assert weaker("off", "observe") == "off"
    assert weaker("enforce", "observe") == "observe"
