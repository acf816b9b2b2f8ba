"""The signed policy, for programs with the scope `gate`."""

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.models import PolicyFeed
from tests.support.api import Machine


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita, "gate")


def test_it_is_the_very_bytes_with_their_signature(machine: Machine) -> None:
    PolicyFeed.objects.create(pk=1, serial=7, text='{"serial": 7}', signature="c2ln", issued_at=timezone.now())
    found = machine.get("/gate/policy")
    assert (found.status, found.response.content, found.header("ETag")) == (200, b'{"serial": 7}', '"c2ln"')
    assert found.header("X-Countersign-Signature") == "c2ln"
    assert machine.get("/gate/policy", if_none_match='"c2ln"').status == 304
    assert PolicyFeed.objects.current().fetched_at is None  # no sign that MLflow has it


def test_while_there_is_none_it_says_why(machine: Machine) -> None:
    found = machine.get("/gate/policy")
    assert (found.status, found["code"]) == (404, "no_policy")
    assert "COUNTERSIGN_GATE_KEY" in found["detail"]
