"""Automatic checks over evidence: what passes, what fails, and the sentence that says why. No database."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import checks
from approvals.policy import CheckRule

TODAY = date(2026, 11, 23)
COLUMNS = [{"name": "age", "type": "double"}, {"name": "plan", "type": "string"}]


def evidence(champion: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    version: dict[str, Any] = {
        "number": 7,
        "status": "READY",
        "description": "Trained on October.",
        "metrics": {"auc_roc": "0.9"},
        "params": {},
        "tags": {},
        "provenance": {},
        "packaging": None,
        "files": None,
    }
    return {"version": version | facts, "champion": champion}


def champion(**facts: Any) -> dict[str, Any]:
    return {"number": 6, "metrics": {"auc_roc": "0.9"}, "packaging": None} | facts


def judge(kind: str, found: dict[str, Any], **settings: Any) -> tuple[str, str]:
    (result,) = checks.run([CheckRule(kind, "block", settings)], found, today=TODAY)
    return result.outcome, result.reason


def packed(signature: Any = None, **flavor: Any) -> dict[str, Any]:
    return {"signature": signature, "flavors": {"sklearn": flavor}, "requirements": []}


def signed(inputs: list[Any], outputs: list[Any] | None = None) -> dict[str, Any]:
    return packed({"inputs": inputs, "outputs": outputs or [{"type": "long"}], "params": []})


@pytest.mark.parametrize(
    ("facts", "settings", "outcome", "reason"),
    [
        ({}, {}, "fail", "training_data_hash and training_cutoff and git_commit"),
        ({"params": {"owner": "x"}}, {"keys": ["owner"]}, "pass", "owner is known"),
        ({"tags": {"owner": "x"}}, {"keys": ["owner"]}, "pass", "owner is known"),
        ({"provenance": {"git_commit": "abc"}}, {"keys": ["git_commit"]}, "pass", "git_commit is known"),
        ({"params": {"owner": "  "}}, {"keys": ["owner"]}, "fail", "Nothing says owner"),
    ],
)
def test_provenance(facts: dict[str, Any], settings: dict[str, Any], outcome: str, reason: str) -> None:
    found = judge("provenance", evidence(**facts), **settings)
    assert found[0] == outcome
    assert reason in found[1]


def test_setting_that_stored_policies_lack_is_left_out_when_nothing_is_said() -> None:
    """Else a file or form that says what stands would make a new version of every policy."""
    settings, problems = checks.validate("metric_threshold", {"metric": "mae", "at_most": 2, "dataset": ""})
    assert (settings, problems) == ({"metric": "mae", "at_least": None, "at_most": 2.0}, [])
    assert checks.title("metric_threshold", settings) == "Metric threshold: mae"
    settings, _ = checks.validate("metric_threshold", {"metric": "mae", "at_most": 2, "dataset": "test"})
    assert settings["dataset"] == "test"
    assert checks.title("metric_threshold", settings) == "Metric threshold: mae on test"


@pytest.mark.parametrize(
    ("value", "settings", "outcome", "reason"),
    [
        ("0.871", {"at_least": 0.9}, "fail", "auc_roc is 0.871; at least 0.9 is asked."),
        ("0.9", {"at_least": 0.9}, "pass", "auc_roc is 0.9."),
        ("0.3", {"at_most": 0.2}, "fail", "auc_roc is 0.3; at most 0.2 is allowed."),
        ("NaN", {"at_least": 0.9}, "fail", "NaN"),
        ("Infinity", {"at_least": 0.9}, "fail", "infinite"),
        ("-Infinity", {"at_most": 0.9}, "fail", "minus infinity"),
        ("1.7976931348623157e308", {"at_most": 1}, "fail", "infinite"),
        (None, {"at_least": 0.9}, "fail", "There is no metric auc_roc."),
    ],
)
def test_metric_threshold(value: str | None, settings: dict[str, Any], outcome: str, reason: str) -> None:
    metrics = {} if value is None else {"auc_roc": value}
    found = judge("metric_threshold", evidence(metrics=metrics), metric="auc_roc", **settings)
    assert found[0] == outcome
    assert reason in found[1]


ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)
LIMIT = st.floats(allow_nan=False, allow_infinity=False)


@given(value=ANY_NUMBER, least=LIMIT, most=LIMIT)
def test_a_threshold_is_judged_for_every_number(value: float, least: float, most: float) -> None:
    least, most = sorted((least, most))
    outcome, reason = judge(
        "metric_threshold", evidence(metrics={"a": repr(value)}), metric="a", at_least=least, at_most=most
    )
    is_number = abs(value) < 1.79e308  # MLflow stores infinity as the largest number
    assert outcome == ("pass" if is_number and least <= value <= most else "fail")
    assert reason.endswith(".")


@pytest.mark.parametrize(
    ("metric", "before", "after", "settings", "outcome"),
    [
        ("auc_roc", "0.9", "0.88", {"margin": 0.01}, "fail"),
        ("auc_roc", "0.9", "0.89", {"margin": 0.01}, "pass"),
        ("auc_roc", "0.9", "0.95", {}, "pass"),
        ("log_loss", "0.3", "0.4", {}, "fail"),
        ("log_loss", "0.3", "0.4", {"direction": "higher"}, "pass"),
        ("log_loss", "0.3", "0.33", {"margin": 0.2, "margin_is": "relative"}, "pass"),
        ("log_loss", "0.3", "0.4", {"margin": 0.2, "margin_is": "relative"}, "fail"),
        ("what", "0.3", "0.4", {}, "fail"),
        ("auc_roc", "0.9", "NaN", {}, "fail"),
        ("auc_roc", "0.9", None, {}, "fail"),
        ("auc_roc", "NaN", "0.9", {}, "warn"),
        ("auc_roc", None, "0.9", {}, "pass"),
    ],
)
def test_metric_regression(
    metric: str, before: str | None, after: str | None, settings: dict[str, Any], outcome: str
) -> None:
    found = evidence(
        champion(metrics={} if before is None else {metric: before}), metrics={} if after is None else {metric: after}
    )
    assert judge("metric_regression", found, metric=metric, **settings)[0] == outcome


@pytest.mark.parametrize(
    ("after", "metrics", "settings", "outcome", "words"),
    [
        ("0.899", [{"name": "auc", "tolerance": "0.5 %"}], {}, "pass", "within the tolerance of 0.5 %"),
        ("0.899", [{"name": "*", "tolerance": "0.5 %"}], {}, "pass", "within the tolerance of 0.5 %"),
        (
            "0.89",
            [{"name": "auc", "tolerance": "0.5 %"}],
            {},
            "fail",
            "by 0.01, and 0.5 % of tolerance is allowed",
        ),
        ("0.89", [{"name": "auc", "tolerance": "0.5 %"}], {"margin": 0.1}, "pass", "auc is 0.89"),  # the larger one
        ("0.89", [{"name": "f1", "tolerance": "50 %"}], {}, "fail", "and 0 is allowed"),
        ("0.91", [{"name": "auc", "better": "lower"}], {}, "fail", "worse by 0.01"),
        ("0.91", [{"name": "auc", "better": "lower"}], {"direction": "higher"}, "pass", "auc is 0.91"),
    ],
)
def test_what_is_within_the_tolerance_of_record_is_not_worse(
    after: str, metrics: list[dict[str, str]], settings: dict[str, Any], outcome: str, words: str
) -> None:
    found = {
        **evidence(champion(metrics={"auc": "0.9"}), metrics={"auc": after}),
        "rule": {"metrics": metrics},
    }
    told = judge("metric_regression", found, metric="auc", **settings)
    assert told[0] == outcome
    assert words in told[1]


def test_the_tolerance_of_record_holds_on_a_data_set_as_well() -> None:
    on_set = {"auc @ val": {"key": "auc", "dataset": "val", "digest": "d"}}
    facts: dict[str, Any] = {"measured_on": on_set}
    found = {
        **evidence(champion(metrics={"auc @ val": "0.9"}, **facts), metrics={"auc @ val": "0.899"}, **facts),
        "rule": {"metrics": [{"name": "auc @ val", "tolerance": "0.5 %"}]},
    }
    assert judge("metric_regression", found, metric="auc")[0] == "pass"


RECORD = [
    {"name": "auc", "better": "higher", "tolerance": "0.5 %"},
    {"name": "loss", "better": "lower", "tolerance": ""},
    {"name": "*", "tolerance": "5 %"},
]


@pytest.mark.parametrize(
    ("metrics", "outcome", "words"),
    [
        ({"auc": "0.899", "loss": "0.1", "f1": "0.1"}, "pass", "1 better, 1 within tolerance."),  # f1 is not of record
        ({"auc": "0.89", "loss": "0.3"}, "fail", "auc is worse by 0.01, tolerance 0.5 %; loss is worse by 0.1."),
        ({"auc": "NaN", "loss": "0.2"}, "fail", "auc is not a number."),
        ({"auc": "0.9"}, "fail", "loss is not a number."),
        ({"auc": "1.7976931348623157e+308", "loss": "0.2"}, "fail", "auc is not a number."),  # MLflow's infinity
    ],
)
def test_no_metric_of_record_is_worse(metrics: dict[str, str], outcome: str, words: str) -> None:
    held = champion(metrics={"auc": "0.9", "loss": "0.2", "f1": "0.9"})
    found = {**evidence(held, metrics=metrics), "rule": {"metrics": RECORD}}
    told = judge("metrics_of_record", found)
    assert told[0] == outcome
    assert told[1].endswith(words)


def test_metrics_of_record_that_nobody_names_or_logged_fail() -> None:
    assert judge("metrics_of_record", {**evidence(), "rule": {}})[0] == "fail"
    missing = {**evidence(metrics={"auc": "0.9"}), "rule": {"metrics": RECORD}}
    assert judge("metrics_of_record", missing) == ("fail", "loss is missing.")
    first = {**evidence(metrics={"auc": "0.9", "loss": "0.2"}), "rule": {"metrics": RECORD}}
    assert judge("metrics_of_record", first)[0] == "pass"


def test_without_a_champion_nothing_is_worse_or_incompatible() -> None:
    assert judge("metric_regression", evidence(), metric="auc_roc")[0] == "pass"
    assert judge("signature_compatible", evidence())[0] == "pass"


@given(
    before=st.floats(allow_nan=True, allow_infinity=True),
    after=st.floats(allow_nan=True, allow_infinity=True),
    margin=st.floats(min_value=0, max_value=1e300),
)
def test_a_regression_is_judged_for_every_number(before: float, after: float, margin: float) -> None:
    found = evidence(champion(metrics={"auc_roc": repr(before)}), metrics={"auc_roc": repr(after)})
    outcome, reason = judge("metric_regression", found, metric="auc_roc", margin=margin)
    assert outcome in ("pass", "warn", "fail")
    assert reason.endswith(".")
    if abs(before) < 1.7e308 and before <= after < 1.7e308:
        assert outcome == "pass"


@pytest.mark.parametrize(
    ("mine", "theirs", "outcome", "words"),
    [
        (signed(COLUMNS), signed(COLUMNS), "pass", ""),
        (signed([*COLUMNS, {"name": "zip", "type": "string", "required": False}]), signed(COLUMNS), "pass", ""),
        (signed([*COLUMNS, {"name": "zip", "type": "string"}]), signed(COLUMNS), "fail", "needs the new input zip"),
        (signed(COLUMNS[:1]), signed(COLUMNS), "pass", ""),
        (signed([{"name": "age", "type": "long"}]), signed(COLUMNS[:1]), "fail", "age is long and was double"),
        (signed(COLUMNS, [{"type": "double"}]), signed(COLUMNS), "fail", "output number 1 is double and was long"),
        (packed(), signed(COLUMNS), "fail", "this version has none"),
        (signed(COLUMNS), packed(), "warn", "cannot be compared"),
    ],
)
def test_signature_compatible(mine: Any, theirs: Any, outcome: str, words: str) -> None:
    found = judge("signature_compatible", evidence(champion(packaging=theirs), packaging=mine))
    assert found[0] == outcome
    assert words in found[1]


@pytest.mark.parametrize(
    ("flavor", "paths", "settings", "outcome"),
    [
        ({"serialization_format": "skops"}, ["model.skops"], {}, "pass"),
        ({"serialization_format": "cloudpickle"}, ["model.pkl"], {}, "fail"),
        ({}, ["model.joblib"], {}, "fail"),
        ({"serialization_format": "cloudpickle"}, ["model.pkl"], {"allowed": ["pickle"]}, "pass"),
        ({"serialization_format": "onnx"}, ["model.onnx"], {"allowed": ["skops"]}, "fail"),
    ],
)
def test_serialization(flavor: dict[str, Any], paths: list[str], settings: dict[str, Any], outcome: str) -> None:
    files = {"digest": "d", "count": 1, "bytes": 1, "manifest": [[path, 1, "e"] for path in paths]}
    assert judge("serialization", evidence(packaging=packed(**flavor), files=files), **settings)[0] == outcome


@pytest.mark.parametrize(
    ("cutoff", "outcome"),
    [("2026-10-31", "pass"), ("2026-10-31T12:00:00+00:00", "pass"), ("2026-01-01", "fail"), ("last week", "fail"),
     ("2027-01-01", "fail"), ("", "fail")],
)  # fmt: skip
def test_data_freshness(cutoff: str, outcome: str) -> None:
    assert judge("data_freshness", evidence(params={"training_cutoff": cutoff}), days=30)[0] == outcome


def test_description_and_readiness() -> None:
    assert judge("description_present", evidence())[0] == "pass"
    assert judge("description_present", evidence(description=" "))[0] == "fail"
    assert judge("description_present", evidence(), characters=200)[0] == "fail"
    assert judge("version_ready", evidence(status="FAILED_REGISTRATION"))[0] == "fail"


def test_a_failure_that_only_warns_is_a_warning() -> None:
    (result,) = checks.run([CheckRule("description_present", "warn")], evidence(description=""), today=TODAY)
    assert (result.outcome, result.effect) == ("warn", "warn")


def test_two_checks_of_one_name_keep_their_own_key() -> None:
    rules = [CheckRule("metric_threshold", "block", {"metric": "a", "at_least": n}) for n in (1, 2)]
    first, second = checks.run(rules, evidence(), today=TODAY)
    assert first.key != second.key


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("metric_threshold", {}, "Metric is missing"),
        ("metric_threshold", {"metric": "a", "at_least": "much"}, "'much' is not a number"),
        ("metric_threshold", {"metric": "a", "at_least": float("nan")}, "is not a number"),
        ("metric_threshold", {"metric": "a", "at_least": 2, "at_most": 1}, "least is more than the most"),
        ("metric_regression", {"metric": "a", "margin": -1}, "at least 0"),
        ("metric_regression", {"metric": "a", "direction": "up"}, "not one of the choices"),
        ("data_freshness", {"days": True}, "not a whole number"),
        ("serialization", {"allow": []}, "no setting called 'allow'"),
        ("external", {"name": "ci", "url": "http://ci.example.com/"}, "begins with https"),
        ("external", {"name": "ci", "url": "https://user:secret@ci.example.com/"}, "begins with https"),
        ("external", {"name": "ci", "url": "https://ci.example.com:70000/"}, "begins with https"),
        ("external", {"name": "Countersign worker", "url": "https://ci.example.com/"}, "cannot be called Countersign"),
        ("weather", {}, "There is no check called 'weather'"),
    ],
)
def test_settings_that_make_no_sense_are_named(kind: str, settings: dict[str, Any], problem: str) -> None:
    assert problem in " ".join(checks.validate(kind, settings)[1])


@pytest.mark.parametrize("kind", sorted(set(checks.KINDS) - {"external"}))
def test_every_kind_judges_two_thousand_params_and_empty_evidence(kind: str) -> None:
    settings = {"metric": "auc_roc"} | ({"at_least": 0} if kind == "metric_threshold" else {})
    settings = {key: value for key, value in settings.items() if key in checks.KINDS[kind].defaults}
    many = evidence(champion(), params={f"p{number}": "x" * 500 for number in range(2000)})
    for found in (many, evidence(metrics={})):
        outcome, reason = judge(kind, found, **settings)
        assert outcome in ("pass", "warn", "fail")
        assert len(reason) < 300
