"""A gate that does not stand in MLflow is told everywhere and is an incident, until it stands again."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals import ledger, watch
from approvals.enforcement import probe
from approvals.models import Action, AuditEvent, Enforcement, Incident, Target
from mirror.models import MirrorState
from mirror.port import Denied, Gate, RegistryError, Unreachable, Unsigned
from tests.support.fakes import FakeRegistry
from tests.support.monitor import readyz

pytestmark = pytest.mark.django_db
STANDS = Gate("0.1", 12, "enforce")
OPENED = Gate("0.1", 12, "observe")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture(autouse=True)
def enforced(production: Target) -> None:
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.ENFORCE)


def gate() -> dict[str, Any]:
    return dict(MirrorState.objects.current().gate)


def strict(client: Client) -> tuple[bool, str]:
    answer = readyz(client, "?strict=1").json()["checks"]["gate"]
    return answer["ok"], answer["detail"]


def page(client: Client, person: User, address: str = "/") -> str:
    client.force_login(person)
    return client.get(address, follow=True).content.decode()


def test_a_gate_that_stands_is_good(registry: FakeRegistry, client: Client, ada: User) -> None:
    registry.gates = [STANDS]
    assert probe.probe(registry) == "stands"
    assert registry.count("gate") == probe.CONNECTIONS
    assert (gate()["state"], gate()["serial"], gate()["trouble"]) == ("stands", 12, "")
    assert strict(client) == (True, "Version 0.1, policy 12.")
    assert not Incident.objects.exists()
    assert "Version 0.1, policy 12, enforce" in page(client, ada, reverse("system"))


@pytest.mark.parametrize(
    ("gates", "state", "told"),
    [
        ([None], "missing", "MLflow does not enforce the gate: anyone who may write to it can promote directly."),
        ([STANDS, None], "partly", "4 of 8 connections were answered without it."),
        ([OPENED], "stands", "its operator has opened it or set COUNTERSIGN_GATE_MODE."),
        ([STANDS, OPENED], "stands", "its operator has opened it"),
    ],
)
def test_one_that_does_not_is_told_everywhere_until_it_does(
    registry: FakeRegistry,
    client: Client,
    ada: User,
    remy: User,
    production: Target,
    gates: list[Gate | None],
    state: str,
    told: str,
) -> None:
    registry.gates = gates
    assert probe.probe(registry) == state
    assert told in gate()["trouble"]
    assert strict(client)[0] is False
    assert told in strict(client)[1]
    for address in ("/", reverse("approvals:inbox"), reverse("system")):
        assert told in page(client, ada, address)
    assert told not in page(client, remy), "who reviews can do nothing about it"
    incident = Incident.objects.get()
    assert (incident.kind, incident.target, incident.place, incident.response) == (
        Incident.Kind.UNENFORCED,
        production,
        "Production",
        "report",
    )
    shown = page(client, ada, incident.get_absolute_url())
    assert "MLflow does not enforce Production." in shown
    assert told in shown
    assert "Every model" in shown
    assert "found that MLflow does not enforce Production" in shown
    assert watch.follow() == 0, "it does not end by what the watch sees"

    assert probe.probe(registry) == state
    assert Incident.objects.count() == 1

    registry.gates = [STANDS]
    assert probe.probe(registry) == "stands"
    incident.refresh_from_db()
    assert (incident.resolution, incident.reason) == ("undone", "MLflow enforces the gate again.")
    assert strict(client)[0]
    assert told not in page(client, ada)
    actions = [Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED]
    recorded = AuditEvent.objects.filter(action__in=actions).order_by("sequence")
    assert list(recorded.values_list("action", flat=True)) == actions
    assert ledger.verify(with_references=True).is_intact


def test_each_enforced_target_has_an_incident_of_its_own(registry: FakeRegistry, staging: Target) -> None:
    probe.probe(registry)
    Target.objects.filter(pk=staging.pk).update(enforcement=Enforcement.ENFORCE)
    probe.probe(registry)
    assert set(Incident.objects.values_list("place", flat=True)) == {"Production", "Staging"}
    Target.objects.filter(pk=staging.pk).update(enforcement=Enforcement.OFF)
    probe.probe(registry)
    ended = Incident.objects.exclude(resolved_at=None).get()
    assert (ended.place, ended.reason) == ("Staging", probe.NOT_WANTED)


def test_what_a_person_has_resolved_stays_so_until_it_was_well_in_between(registry: FakeRegistry, ada: User) -> None:
    probe.probe(registry)
    watch.resolve(Incident.objects.get(), by=ada, reason="The new server comes on Monday.")
    probe.probe(registry)
    assert Incident.objects.count() == 1
    registry.gates = [STANDS]
    probe.probe(registry)
    registry.gates = [None]
    probe.probe(registry)
    assert Incident.objects.open().count() == 1
    assert Incident.objects.count() == 2


@pytest.mark.parametrize("error", [Unreachable("Away."), Unsigned("Who are you?")])
def test_while_mlflow_does_not_answer_nothing_is_judged(registry: FakeRegistry, error: RegistryError) -> None:
    registry.gates = [STANDS]
    probe.probe(registry)
    before = gate()
    registry.gates = [None]
    registry.fail_next("gate", error)
    assert probe.probe(registry) == ""
    assert gate() == before
    assert not Incident.objects.exists()


def test_a_sign_in_before_the_gate_is_said(registry: FakeRegistry, client: Client) -> None:
    registry.fail_next("gate", Denied("MLflow does not let Countersign's account set a tag."))
    assert probe.probe(registry) == "unknown"
    assert "cannot tell whether MLflow enforces the gate. MLflow does not let" in strict(client)[1]
    assert not Incident.objects.exists(), "it may well stand behind it"
    probe.probe(registry)
    registry.fail_next("gate", Denied("Not you."))
    probe.probe(registry)
    assert Incident.objects.open().count() == 1, "nor is one over by it"


def test_what_nobody_wants_enforced_is_not_asked(registry: FakeRegistry, client: Client, ada: User) -> None:
    probe.probe(registry)
    Target.objects.update(enforcement=Enforcement.OFF)
    registry.calls.clear()
    assert probe.probe(registry) == ""
    assert registry.count("gate") == 0
    assert gate() == {}
    assert strict(client)[0]
    assert "No target is enforced in MLflow" in page(client, ada, reverse("system"))
    assert Incident.objects.open().count() == 0


def test_what_is_only_observed_is_no_trouble(registry: FakeRegistry, client: Client) -> None:
    Target.objects.update(enforcement=Enforcement.OBSERVE)
    assert probe.probe(registry) == "missing"
    assert gate()["trouble"] == ""
    assert strict(client)[0]
    assert not Incident.objects.exists()
