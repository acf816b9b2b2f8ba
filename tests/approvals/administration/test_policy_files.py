"""Policies as a YAML file: written, read strictly, compared and applied."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from accounts.models import User
from approvals.administration import policy_files
from approvals.models import Action, AuditEvent, FreezeWindow, Policy, Target
from approvals.policy import PARTS, CheckRule, MetricRule, ReminderRule, Rule, SignatureRule, SlotRule
from tests.support.factories import make_policy, make_request, make_version

pytestmark = pytest.mark.django_db

CHURN = """\
policies:
  Production:
  - model_pattern: churn_*
    slots:
    - approvals: 2
    - approvals: 1
      group: risk
      looks_at: [metrics, champion]
    checks:
    - {kind: description_present, effect: warn}
    signature: {reauthenticate: true}
  - model_pattern: '*'
    slots:
    - approvals: 2
freezes:
- name: Christmas
  reason: Nobody is there.
  target: Production
  from: 2026-12-24T12:00:00+01:00
  until: 2027-01-02T00:00:00Z
- name: Weekend
  model_pattern: credit_*
  weekly: {from: friday 16:00, until: Monday 08:00, time_zone: Europe/Berlin}
"""


@pytest.fixture(autouse=True)
def risk(db: None) -> Group:
    return Group.objects.create(name="risk")


def apply(source: str, **options: Any) -> policy_files.Outcome:
    return policy_files.apply(policy_files.read(source.encode()), **options)


DATA_SET = """\
policies:
  Staging:
  - model_pattern: churn_*
    slots: [{approvals: 1}]
    checks:
    - kind: metric_threshold
      settings: {metric: mae, at_most: 2.0}
"""


def test_check_names_its_data_set_in_a_file() -> None:
    apply(DATA_SET)
    assert "dataset" not in Policy.objects.get(model_pattern="churn_*").terms["checks"][0]["settings"]
    assert not apply(DATA_SET).difference
    assert "+        dataset: test" in apply(DATA_SET.replace("mae,", "mae, dataset: test,")).difference
    assert Policy.objects.current().get(model_pattern="churn_*").terms["checks"][0]["settings"]["dataset"] == "test"


METRICS = """\
policies:
  Staging:
  - model_pattern: churn_*
    slots: [{approvals: 1}]
    metrics:
    - {name: recall, tolerance: 0.5%}
    - {name: revenue, better: higher, tolerance: 0.002}
    - {name: '*', tolerance: 1 %}
"""


def test_metrics_of_record_are_written_as_they_are_kept() -> None:
    apply(METRICS)
    found = Rule.from_json(Policy.objects.get(model_pattern="churn_*").terms)
    assert found.metrics == (
        MetricRule("recall", "higher", "0.5 %"),  # as its name says, once and for all
        MetricRule("revenue", "higher", "0.002"),
        MetricRule("*", "", "1 %"),
    )
    assert not apply(METRICS).difference
    assert not apply(policy_files.export()).difference
    shorter = METRICS.replace("    - {name: revenue, better: higher, tolerance: 0.002}\n", "")
    assert "-    - name: revenue" in apply(shorter).difference


def patterns(target: str = "Production") -> list[str]:
    return [policy.model_pattern for policy in Policy.objects.current().filter(target__name=target)]


# --- Applied


def test_a_file_is_applied_and_then_nothing_differs() -> None:
    outcome = apply(CHURN)
    assert "+  - model_pattern: churn_*" in outcome.difference
    assert patterns() == ["churn_*", "*"]
    rule = Rule.from_json(Policy.objects.get(model_pattern="churn_*").terms)
    assert rule.slots == (SlotRule(2), SlotRule(1, "risk", ("metrics", "champion")))
    assert rule.signature == SignatureRule(reauthenticate=True, within_minutes=5)
    assert rule.checks[0].kind == "description_present"
    assert {freeze.name: freeze.sentence for freeze in FreezeWindow.objects.all()} == {
        "Christmas": "from 2026-12-24 11:00 until 2027-01-02 00:00 UTC",
        "Weekend": "from Friday 16:00 until Monday 08:00, Europe/Berlin",
    }
    assert AuditEvent.objects.filter(action=Action.POLICY_CREATED).get().actor_label == "Countersign command line"
    assert apply(CHURN).difference == ""
    assert apply(policy_files.export()).difference == ""


def test_looking_changes_nothing() -> None:
    before, events = policy_files.export(), AuditEvent.objects.count()
    outcome = apply(CHURN, dry_run=True)
    assert "+- name: Christmas" in outcome.difference
    assert policy_files.export() == before
    assert AuditEvent.objects.count() == events


def test_what_the_file_lacks_is_left_alone_or_retired() -> None:
    apply(CHURN)
    shorter = "policies:\n  Production:\n  - {model_pattern: '*', slots: [{approvals: 3}]}\n"
    outcome = apply(shorter)
    assert outcome.left_alone == ["Production: the policy for churn_*", "the freeze Christmas", "the freeze Weekend"]
    assert patterns() == ["churn_*", "*"]
    assert patterns("Staging") == ["*"]
    apply(shorter, prune=True)
    assert patterns() == ["*"]
    assert patterns("Staging") == []
    assert not FreezeWindow.objects.current().exists()
    assert Policy.objects.filter(model_pattern="churn_*").exists()  # nothing is deleted


def test_the_order_of_the_file_is_the_order_of_the_policies() -> None:
    row = "  - {{model_pattern: '{}', slots: [{{approvals: 1}}]}}\n"
    both = f"policies:\n  Staging:\n{row}{row}"
    apply(both.format("a*", "b*"), prune=True)
    assert patterns("Staging") == ["a*", "b*"]
    apply(both.format("b*", "a*"))
    assert patterns("Staging") == ["b*", "a*"]


def test_a_change_is_a_new_version_and_open_requests_keep_theirs(rita: User, remy: User, staging: Target) -> None:
    policy = make_policy("churn_*", staging, (1, None))
    request = make_request(make_version(), staging, by=rita)
    apply("policies:\n  Staging:\n  - {model_pattern: churn_*, slots: [{approvals: 2}]}\n")
    policy.refresh_from_db()
    assert policy.version == 2
    request.refresh_from_db()
    assert Rule.from_json(request.rule).slots == (SlotRule(1),)


def test_all_or_nothing() -> None:
    """The second freeze is refused by the verb, so the policies before it do not stand either."""
    before = policy_files.export()
    endless = "- {name: Ever, weekly: {from: monday 08:00, until: monday 08:00, time_zone: UTC}}\n"
    with pytest.raises(policy_files.BadFile, match="nothing could ever be delivered"):
        apply(CHURN + endless)
    assert policy_files.export() == before


# --- Read strictly


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "The file is empty."),
        ("policies: [", "Line 1: this is no YAML"),
        ("policies:\n\tStaging: []", "Line 2: this is no YAML"),
        ("[1, 2]", "Line 1: this has to be a group"),
        ("freezes: []", "'policies' is missing"),
        ("policies: {}\npolicy: {}", "Line 2: there is no 'policy' here; there are policies, enforcement, freezes"),
        ("policies: {}\npolicies: {}", "Line 2: 'policies' is here twice."),
        ("policies:\n  Moon: []", "Line 2: there is no target called 'Moon'."),
        ("policies:\n  Staging:\n  - model_pattern: x", "Line 3: 'slots' is missing."),
        ("policies:\n  Staging:\n  - {model_pattern: 7, slots: []}", "Line 3: this has to be text."),
        ("policies:\n  Staging:\n  - {model_pattern: x, slots: []}", "A policy needs at least one approval."),
        ("policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: many}]}", "a whole number"),
        (
            "policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: 1, group: moon}]}",
            "no group called 'moon'",
        ),
        ("policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: 1, looks_at: [sky]}]}", "'sky' is no part"),
        (
            "policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: 1}], checks: [{kind: magic}]}",
            "'magic' is no check",
        ),
        (
            "policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: 1}], requires_reason: perhaps}",
            "true or false",
        ),
        ("policies:\n  Staging:\n" + "  - {model_pattern: x, slots: [{approvals: 1}]}\n" * 2, "two policies for 'x'"),
        ("a: &a [x]\npolicies: *a", "Line 1: anchors and aliases are not read."),
        ("policies: !!python/object/apply:os.system ['true']", "this has to be a group"),
        ("policies: {}\nfreezes:\n- {name: A}", "Line 3: a freeze has either from and until, or weekly."),
        ("policies: {}\nfreezes:\n- {name: A, from: 2026-12-24, until: 2026-12-25}", "with its offset from UTC"),
        (
            "policies: {}\nfreezes:\n- {name: A, weekly: {from: someday, until: monday 1:00, time_zone: UTC}}",
            "friday 16:00",
        ),
        ("policies: \x00", "This is no YAML"),
        *(
            (f"policies:\n  Staging:\n  - {{model_pattern: x, slots: [{{approvals: 1}}], {bad}}}", f"Line 3: {words}")
            for bad, words in [
                ("metrics: [{name: a, tolerance: much}]", "a tolerance is a number such as 0.002"),
                ("metrics: [{name: a, tolerance: [1]}]", "a tolerance is a number such as 0.002"),
                ("metrics: [{name: a, better: up}]", "'up' is no direction; it is one of higher, lower."),
                ("metrics: [{tolerance: 1}]", "'name' is missing."),
                ("metrics: [{name: auc}, {name: auc}]", "The metric of record auc is named twice."),
                ("requires_reason: !!bool x", "this has to be true or false."),
                ("open_for_days: !!int ''", "this has to be a whole number."),
                ("open_for_days: " + "9" * 5000, "this has to be a whole number."),
                ("open_for_days: 0", "A request stays open for 1 to 365 days."),
                ('watched_tags: ["a\\0"]', "there is a character in it that cannot be kept"),
                ('watched_tags: ["\\ud800"]', "there is a character in it that cannot be kept"),
                *(
                    (
                        f"checks: [{{kind: metric_threshold, settings: {{metric: a, at_least: {value}}}}}]",
                        "this has to be",
                    )
                    for value in ("!!bool x", "!!int x", "!!float x", "9" * 5000)
                ),
            ]
        ),
        (
            f"policies:\n  Staging:\n  - {{model_pattern: {'x' * 300}, slots: [{{approvals: 1}}]}}",
            "Staging, x+: Ensure this value has at most 256",
        ),
        *(
            (
                "policies: {}\nfreezes:\n- name: A\n  weekly:\n"
                f"    {{from: friday {clock}, until: monday 08:00, time_zone: UTC}}",
                "Line 5: write a day and a time",
            )
            for clock in ("16:00+02:00", "16:00:30")
        ),
        (
            "policies:\n  Staging:\n  - {model_pattern: x, slots: [{approvals: 1}], metrics: [{name: revenue}]}",
            "Staging, x: Choose whether higher or lower is better for revenue",
        ),
        ("[" * 2000, "this is no YAML|nested too deeply"),
        ("#" * 1_000_001, "larger than"),
    ],
)
def test_every_mistake_is_told_with_its_line_and_changes_nothing(source: str, complaint: str) -> None:
    before = policy_files.export()
    with pytest.raises(
        policy_files.BadFile, match=complaint.replace("[", r"\[") if "|" not in complaint else complaint
    ):
        apply(source)
    assert policy_files.export() == before


def test_a_byte_order_mark_is_fine_and_other_bytes_are_not() -> None:
    policy_files.read(b"\xef\xbb\xbfpolicies: {}")
    with pytest.raises(policy_files.BadFile, match="not UTF-8"):
        policy_files.read(b"policies: \xff")


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
SLOTS = st.builds(
    SlotRule,
    st.integers(1, 20),
    st.sampled_from([None, "risk"]),
    st.lists(st.sampled_from(sorted(PARTS)), unique=True, max_size=3).map(tuple),
)
RULES = st.builds(
    Rule,
    WORDS,
    st.lists(SLOTS, min_size=1, max_size=3).map(tuple),
    requires_reason=st.booleans(),
    open_for_days=st.integers(1, 365),
    checks=st.lists(
        st.sampled_from([CheckRule("description_present", "warn"), CheckRule("version_ready", "inform")]), max_size=2
    ).map(tuple),
    watched_tags=st.lists(WORDS, max_size=3).map(tuple),
    excludes_contributors=st.booleans(),
    contributor_tags=st.lists(WORDS, max_size=2).map(tuple),
    files_limit_mb=st.none() | st.integers(0, 10_000),
    allows_findings=st.booleans(),
    batch_approval=st.booleans(),
    metrics=st.lists(
        st.builds(
            MetricRule,
            st.sampled_from(["auc", "loss @ test", "*", "x"]),
            st.sampled_from(["higher", "lower", ""]),
            st.sampled_from(["", "0.002", "0.5 %", "2e-07", "100 %"]),
        ),
        max_size=3,
        unique_by=lambda each: each.name,
    ).map(tuple),
    signature=st.builds(SignatureRule, st.booleans(), st.integers(1, 1440), st.booleans()),
    reminders=st.builds(ReminderRule, st.integers(1, 100), st.integers(1, 100), st.just(5), st.just("risk")),
)


@tries(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RULES)
def test_what_is_exported_reads_back_as_it_was(rule: Rule) -> None:
    Policy.objects.all().update(retired_at="2026-01-01T00:00:00Z")
    Policy.objects.create(
        target=Target.objects.get(name="Staging"), model_pattern=rule.model_pattern, terms=rule.terms()
    )
    document = policy_files.read(policy_files.export().encode())
    ((found,),) = document.policies.values()
    assert found.terms()["slots"] == rule.terms()["slots"]
    assert {key: value for key, value in found.terms().items() if key != "checks"} == {
        key: value for key, value in rule.terms().items() if key != "checks"
    }
    assert [(check.kind, check.effect) for check in found.checks] == [
        (check.kind, check.effect) for check in rule.checks
    ]


# --- The command and the download


def run(*arguments: str) -> tuple[int, str, str]:
    out, problems = io.StringIO(), io.StringIO()
    try:
        call_command("policies", *arguments, stdout=out, stderr=problems)
    except SystemExit as ending:
        return int(str(ending.code)), out.getvalue(), problems.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), problems.getvalue()


def test_the_exit_codes_tell_a_pipeline_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(CHURN)
    code, out, problems = run("apply", str(file), "--dry-run")
    assert code == 3
    assert "+- name: Christmas" in out
    assert run("apply", str(file))[0] == 0
    code, out, problems = run("apply", str(file), "--dry-run")
    assert (code, out) == (0, "Nothing differs.\n")
    assert "Not in the file, and left alone: " not in problems
    file.write_text("policies: 7")
    assert run("apply", str(file)) == (2, "", "Line 1: this has to be a group of `key: value`.")
    assert run("apply", str(tmp_path / "nowhere.yaml"))[0] == 2
    code, out, _ = run("export")
    assert code == 0
    assert out == policy_files.export()


def test_the_page_offers_the_same_file(client: Client, vera: User) -> None:
    client.force_login(vera)
    assert 'href="/policies/policies.yaml"' in client.get("/policies/").content.decode()
    answer = client.get("/policies/policies.yaml")
    assert answer["Content-Type"] == "application/yaml"
    assert answer.content.decode() == policy_files.export()


def test_the_enforcement_of_targets_is_in_the_file_also_a_bare_off(production: Target) -> None:
    assert "enforcement:\n  Staging: 'off'\n  Production: 'off'\n" in policy_files.export()
    done = apply("policies: {}\nenforcement: {Production: enforce}\n")
    assert "+  Production: enforce" in done.difference
    production.refresh_from_db()
    assert production.enforcement == "enforce"
    event = AuditEvent.objects.get(action=Action.TARGET_CHANGED)
    assert (event.data["before"]["enforcement"], event.data["after"]["enforcement"]) == ("off", "enforce")
    assert apply(policy_files.export()).difference == ""
    apply("policies: {}\nenforcement: {Production: off}\n")
    production.refresh_from_db()
    assert production.enforcement == "off"
    for wrong in ("{Production: on}", "{Production: [off]}", "{Nowhere: off}", "[]"):
        with pytest.raises(policy_files.BadFile, match="Line 2"):
            apply(f"policies: {{}}\nenforcement: {wrong}\n")
