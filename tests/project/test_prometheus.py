"""The alert rules, by Prometheus' own promtool: each fires when it should and is quiet otherwise, asks for metrics that
a scrape has, and leads to a runbook."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from registry_ui.demo.installation import ROOT
from registry_ui.metrics import database, processes
from tests.project.test_docs import OPERATIONS, section
from tests.project.test_metrics_page import LATER
from tools.services import find

RULES = ROOT / "deploy" / "prometheus" / "countersign.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "countersign.json"
NAME = re.compile(r"\bcountersign_[a-z_]+\b")


def rules() -> dict[str, dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def promtool(*arguments: object, given: str = "") -> "subprocess.CompletedProcess[str]":
    program = find("promtool")
    assert program, "promtool is missing: python tools/services.py installs it."
    return subprocess.run(
        [program, *map(str, arguments)], input=given, capture_output=True, text=True, check=False, timeout=120
    )


# --- Firing and quiet

PULL = "countersign_mirror_pull_age_seconds"
SWEEP, SWEEP_LATE = "countersign_mirror_sweep_age_seconds", "countersign_mirror_sweep_late_after_seconds"
SEEN, BEHIND = "countersign_worker_seen_age_seconds", "countersign_webhook_oldest_seconds"
SIGN_INS = "countersign_sign_ins_total{result="
NEVER = " ".join(["+Inf"] * 61)
BUCKET = 'countersign_http_request_duration_seconds_bucket{route="model",method="GET",status="2xx",le='
SLOW = {
    f'{BUCKET}"0.5"}}': "0+1x60",
    f'{BUCKET}"1"}}': "0+1x60",
    f'{BUCKET}"5"}}': "0+9x60",
    f'{BUCKET}"+Inf"}}': "0+9x60",
}
QUICK = dict.fromkeys(SLOW, "0+9x60")
WAITS = {series.replace('"model"', '"api-v1:request_wait"'): value for series, value in SLOW.items()}

CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    # alert: series with which it fires after an hour, and with which it does not; a value a minute
    "Absent": ({}, {'countersign_build_info{version="1"}': "1x60"}),
    "MlflowDown": ({"countersign_mlflow_up": "0x60"}, {"countersign_mlflow_up": "0x50 1x10"}),
    "MirrorStale": (
        {PULL: NEVER, "countersign_mirror_pull_late_after_seconds": "60x60"},
        {PULL: "200x60", "countersign_mirror_pull_late_after_seconds": "300x60"},
    ),
    "SweepStale": (
        {SWEEP: "1900x60", SWEEP_LATE: "1800x60"},
        {SWEEP: "1700x60", SWEEP_LATE: "1800x60", "countersign_sweep_failing": "0x60"},
    ),
    "RegistryRefused": ({"countersign_registry_refused": "1x60"}, {"countersign_registry_refused": "0x60"}),
    "WorkerGone": ({SEEN: NEVER}, {SEEN: "110x60"}),
    # From two replicas, of which one was asked a little later.
    "DeliveryLate": (
        {
            'countersign_outbox_oldest_seconds{instance="a"}': "290x60",
            'countersign_outbox_oldest_seconds{instance="b"}': "310x60",
        },
        {"countersign_outbox_oldest_seconds": "0x56 310x4"},
    ),
    "DeliveryFailed": (
        {'countersign_deliveries_total{outcome="failed"}': "7x50 8x10"},
        {
            'countersign_deliveries_total{outcome="failed"}': "7x60",
            'countersign_deliveries_total{outcome="applied"}': "0+1x60",
        },
    ),
    "DeliveryHalf": ({"countersign_outbox_half": "1x60"}, {"countersign_outbox_half": "0x60"}),
    "DeliveriesHalted": ({"countersign_deliveries_halted": "0x59 1"}, {"countersign_deliveries_halted": "0x60"}),
    "ChecksStuck": ({"countersign_check_oldest_seconds": "3700x60"}, {"countersign_check_oldest_seconds": "3500x60"}),
    "IncidentOpen": (
        {'countersign_incidents_open{kind="moved"}': "0x59 1", 'countersign_incidents_open{kind="files"}': "0x60"},
        {'countersign_incidents_open{kind="moved"}': "1x59 0"},
    ),
    "BreakGlassUnreviewed": ({"countersign_afterwards_overdue": "1x60"}, {"countersign_afterwards_overdue": "0x60"}),
    "GateOpen": ({"countersign_gate_trouble": "1x60"}, {"countersign_gate_trouble": "0x58 1x2"}),
    "PolicyStale": (
        {"countersign_gate_policy_age_seconds": "30x60", "countersign_gate_policy_fetch_age_seconds": NEVER},
        {"countersign_gate_policy_age_seconds": "70x60", "countersign_gate_policy_fetch_age_seconds": "10x60"},
    ),
    "LedgerBroken": ({"countersign_ledger_intact": "1x59 0"}, {"countersign_ledger_intact": "0x59 1"}),
    "LedgerUnverified": (
        {"countersign_ledger_verified_age_seconds": "172801x90", "countersign_ledger_verify_every_seconds": "86400x90"},
        {"countersign_ledger_verified_age_seconds": "172799x90", "countersign_ledger_verify_every_seconds": "86400x90"},
    ),
    "CheckpointOld": (
        {"countersign_checkpoint_age_seconds": "7300x60", "countersign_checkpoint_events_unsigned": "1x60"},
        {"countersign_checkpoint_age_seconds": "7300x60", "countersign_checkpoint_events_unsigned": "0x60"},
    ),
    "MailsStuck": (
        {"countersign_notification_oldest_seconds": "0x60", "countersign_mail_failing_seconds": "3700x60"},
        {"countersign_notification_oldest_seconds": "3500x60", "countersign_mail_failing_seconds": "0x60"},
    ),
    "WebhooksBehind": ({BEHIND: "3700x60"}, {BEHIND: "3500x60"}),
    "WebhookPaused": ({"countersign_webhooks_paused": "1x90"}, {"countersign_webhooks_paused": "0x50 1x40"}),
    "SignInsFailing": (
        {f'{SIGN_INS}"failed"}}': "0+5x60", f'{SIGN_INS}"limited"}}': "0+5x60"},
        {f'{SIGN_INS}"ok"}}': "0+50x60", f'{SIGN_INS}"failed"}}': "0+5x60"},
    ),
    "PagesSlow": (SLOW, QUICK | WAITS),
}  # fmt: skip
LATER_THAN_AN_HOUR = ("LedgerUnverified", "WebhookPaused")


def case(alert: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    rule = rules()[f"Countersign{alert}"]
    expected = {"exp_labels": rule["labels"] | ({"kind": "moved"} if alert == "IncidentOpen" else {})}
    found: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": "90m" if alert in LATER_THAN_AN_HOUR else "60m",
                "alertname": f"Countersign{alert}",
                "exp_alerts": [expected] if fires else [],
            }
        ],
    }
    return found


def plain(folder: Path) -> Path:
    """The rules without their texts, which have the value in them; promtool compares those too."""
    found = yaml.safe_load(RULES.read_text())
    for rule in found["groups"][0]["rules"]:
        del rule["annotations"]
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(found))
    return path


def test_the_rules_are_well_formed() -> None:
    done = promtool("check", "rules", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(tmp_path: Path) -> None:
    assert {f"Countersign{alert}" for alert in CASES} == set(rules())
    tests = [
        case(alert, series, fires=fires)
        for alert, both in CASES.items()
        for fires, series in zip((True, False), both, strict=True)
    ]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(plain(tmp_path))], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_expects_the_wrong_thing_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tests.yml"
    wrong = case("DeliveryLate", CASES["DeliveryLate"][0], fires=False)
    path.write_text(yaml.safe_dump({"rule_files": [str(plain(tmp_path))], "tests": [wrong]}))
    assert promtool("test", "rules", path).returncode != 0


@pytest.mark.parametrize("alert", sorted(f"Countersign{alert}" for alert in CASES))
def test_each_alert_says_what_it_is_and_leads_to_its_runbook(alert: str) -> None:
    rule = rules()[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith((".", ")."))
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{alert.lower()}"
    runbook = section(OPERATIONS, "Alerts").partition(f"\n### {alert}\n")[2].partition("\n### ")[0]
    assert len(runbook.split()) > 15, "It says what the alert means, what to look at and what to do."


def test_there_is_no_runbook_without_its_alert() -> None:
    assert set(re.findall(r"^### (\w+)$", section(OPERATIONS, "Alerts"), re.MULTILINE)) == set(rules())


# --- Against what a scrape has


def samples() -> set[str]:
    """Names as Prometheus stores them."""
    found = {database.PREFIX + name for name in LATER}
    for family in (*database.numbers(), *processes.registry.collect()):
        if family.type == "histogram":
            found |= {family.name + end for end in ("_bucket", "_count", "_sum")}
        else:
            found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return found


def unknown(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in NAME.findall(text)} - samples()


@pytest.mark.django_db
def test_every_metric_in_the_rules_is_one_that_there_is() -> None:
    assert unknown(rule["expr"] for rule in rules().values()) == set()
    assert unknown(["max(countersign_outbox_lost)"]) == {"countersign_outbox_lost"}


# --- The dashboard


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_the_dashboard_has_four_rows_of_panels_that_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Is it well",
        "Requests and deliveries",
        "Pages and people",
        "Worker and MLflow",
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_prometheus_understands_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    found = [{"record": f"dashboard:expression_{number}", "expr": each} for number, each in enumerate(expressions())]
    assert len(found) > 30
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": found}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.django_db
def test_every_metric_on_the_dashboard_is_one_that_there_is() -> None:
    assert unknown(expressions()) == set()


# --- A scrape


@pytest.mark.django_db
def test_promtool_finds_nothing_wrong_with_a_scrape(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = token = "t" * 32
    database.kept.forget()
    client.get("/accounts/login/")
    processes.asked(None, call="models", outcome="ok", seconds=0.1)
    processes.timed("mirror.pull", lambda: None)
    text = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).content.decode()
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
