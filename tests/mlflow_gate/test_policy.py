import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow_gate.policy import UNKNOWN, Policy, fold, key_of, matches, parse

from approvals.policy import precedence
from tests.support.gate import policy_text, rule


def read(*rules: dict[str, Any], **changes: Any) -> Policy:
    return parse(policy_text(*rules, **changes), "mlflow")


def modes(policy: Policy, model: str, workspace: str = "default") -> dict[str, str]:
    return {key: found.rule.mode for key, found in policy.guarded(workspace, model).items()}


NAMES = st.text(alphabet="ab*?_.", max_size=8)


@given(NAMES, NAMES)
def test_patterns_mean_what_they_mean_in_countersign(pattern: str, name: str) -> None:
    assert matches(pattern, name) == precedence.matches(pattern, name)


def test_the_first_rule_for_a_place_counts() -> None:
    policy = read(
        rule(models=["credit_*"], aliases=[], mode="observe"),
        rule(models=["*"], mode="enforce"),
    )
    assert modes(policy, "credit_risk") == {"stage:production": "observe", "alias:champion": "enforce"}
    assert modes(policy, "churn") == {"stage:production": "enforce", "alias:champion": "enforce"}
    assert modes(policy, "sandbox_x") == {}


def test_facts_are_guarded_as_the_strictest_place_of_their_model() -> None:
    policy = read(rule(models=["churn"], stages=[], mode="observe"), rule(models=["ch*"], aliases=[]))
    for model, mode in (("churn", "enforce"), ("chat", "enforce")):
        found = policy.facts("default", model)
        assert found
        assert found.mode == mode
    assert policy.facts("default", "other") is None


def test_a_rule_is_for_one_workspace() -> None:
    policy = read(rule(workspace="risk"))
    assert modes(policy, "churn") == {}
    assert modes(policy, "churn", "risk") != {}
    assert modes(read(rule(workspace="")), "churn") != {}
    assert modes(read(rule(workspace="")), "churn", "risk") == {}


@pytest.mark.parametrize("policy", [read(rule(models=["nothing"])), read(rule(mode="observe")), UNKNOWN])
@pytest.mark.parametrize("model", ["countersign-probe-1", "countersign-doctor-x"])
def test_models_that_try_the_gate_are_always_guarded(policy: Policy, model: str) -> None:
    found = modes(policy, model, "any workspace")
    assert (found["stage:production"], found["alias:champion"]) == ("enforce", "enforce")


def test_while_nothing_is_known_what_could_be_a_place_is_closed() -> None:
    places = {"stage:production", "stage:staging", "alias:champion", "alias:production", "alias:staging"}
    assert modes(UNKNOWN, "churn", "risk") == dict.fromkeys(places, "enforce")
    assert UNKNOWN.names("alias:Staging")
    assert not UNKNOWN.names("alias:challenger")


@pytest.mark.parametrize(
    "alias", ["Champion", "CHAMPION", "champion ", "chámpion", "ｃｈａｍｐｉｏｎ", "cħampıøn", "CĦAMPIØN"]
)
def test_an_alias_is_the_same_in_what_a_database_takes_for_it(alias: str) -> None:
    assert key_of(f"alias:{alias}") == "alias:champion"


@given(st.text())
def test_folding_is_done_once_and_for_all(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.upper().lower())


def test_a_policy_is_for_one_mlflow() -> None:
    with pytest.raises(ValueError, match="for another MLflow, 'mlflow'"):
        parse(policy_text(), "other")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        policy_text(serial="x"),
        policy_text(rules=[{}]),
        policy_text(rules=[rule(mode="off")]),
        policy_text(rules=[rule(mode="strict")]),
        policy_text(rules=[rule(stages=["Live"])]),
        policy_text(rules=5),
        policy_text(sealed=[{"folder": "x"}]),
    ],
)
def test_what_is_no_policy_is_refused_as_a_whole(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"The policy|JSON|Expecting|utf-8|invalid literal"):
        parse(text, "mlflow")


def test_what_a_newer_countersign_adds_is_left_alone() -> None:
    assert read(rule(colour="red"), shape="round").serial == 12
    assert parse(json.dumps({**json.loads(policy_text()), "sealed": []}).encode(), "mlflow").sealed == ()


def test_an_answer_is_remembered_for_each_model_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_gate.policy.MOST_REMEMBERED", 3)
    policy = read()
    assert policy.guarded("default", "m0") is policy.guarded("default", "m0")
    for number in range(10):
        policy.guarded("default", f"m{number}")
    assert len(policy._remembered) <= 3
