"""The whole room. MLflow's own code fetches what is written here, and what it reports arrives."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow_gate import opening
from mlflow_gate.refusals import Teller
from mlflow_gate.settings import Settings
from mlflow_gate.source import Source, fetch
from pytest_django import Settings as DjangoSettings
from pytest_django.live_server_helper import LiveServer

from approvals.enforcement import feed
from approvals.models import Action, AuditEvent, Enforcement, Incident, PolicyFeed, Target
from tests.support.factories import make_person
from tests.support.fakes import FakeRegistry

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TOKEN = "a-token-of-the-gate"


@pytest.fixture
def gate(committed: None, settings: DjangoSettings, tmp_path: Path) -> Iterator[Settings]:
    """As MLflow has it, with a site that enforces Production."""
    settings.GATE_KEY, settings.GATE_TOKEN = KEY.private_bytes_raw(), TOKEN
    Target.objects.filter(name="Production").update(enforcement=Enforcement.ENFORCE)
    server = LiveServer("127.0.0.1")
    yield Settings(
        site=server.url,
        keys=(KEY.public_key(),),
        policy=f"{server.url}/gate/policy",
        token=TOKEN,
        state=tmp_path / "gate.json",
        audience="mlflow",
        mode="enforce",
    )
    server.stop()


def test_the_policy_is_fetched_checked_kept_and_replaced(gate: Settings) -> None:
    source = Source(gate)
    source.ask()
    assert source._policy.serial == 0  # nothing is signed yet
    first = feed.sign_if_due(FakeRegistry())
    source.ask()
    assert source._policy.serial == first
    assert source._policy.guarded("default", "churn")["stage:production"].rule.mode == "enforce"
    tag = fetch(gate)
    assert tag is not None
    assert fetch(gate, tag.etag) is None
    Target.objects.filter(name="Production").update(enforcement=Enforcement.OBSERVE)
    second = feed.sign_if_due(FakeRegistry())
    source.ask()
    assert source._policy.serial == second
    assert source._policy.guarded("default", "churn")["alias:champion"].rule.mode == "observe"
    # An older one, or one that another key signed, is not taken.
    PolicyFeed.objects.update(text=tag.text.decode(), signature=tag.signature)
    source.ask()
    assert source._policy.serial == second
    assert Source(replace(gate, keys=(Ed25519PrivateKey.generate().public_key(),)))._policy.serial == 0


def test_refusals_and_openings_arrive_once(gate: Settings) -> None:
    make_person("Rita Sanz", "requester")
    teller = Teller(gate)
    told = {
        "id": "a",
        "who": "rita",
        "operation": "transition_model_version_stage",
        "model": "churn",
        "version": 3,
        "place": "stage:Production",
        "at": 1e9,
        "mode": "enforce",
        "address": "127.0.0.1",
    }
    for _ in range(2):
        teller._waiting.append(told)
    assert teller.send()
    assert not teller._waiting
    event = AuditEvent.objects.get(action=Action.REFUSED_IN_MLFLOW)
    assert (event.model_name, event.version_number, event.target_name) == ("churn", 3, "Production")
    opening.begin(gate, minutes=5, reason="The site was away.", who="root")
    assert opening.tell(gate)
    assert opening.tell(gate)
    assert Incident.objects.get().details["reason"] == "The site was away."
    stranger = Teller(replace(gate, token="another"))
    stranger._waiting.append(told)
    assert not stranger.send()
    assert len(stranger._waiting) == 1
