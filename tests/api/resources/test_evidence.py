"""The bytes that are signed, and the certificate of what was."""

import hashlib
import json

import pytest

from accounts.models import User
from approvals.models import PromotionRequest, Target
from tests.support.api import Machine
from tests.support.factories import approve, make_policy, make_request, make_version


@pytest.fixture
def asked(rita: User, staging: Target) -> PromotionRequest:
    make_policy("*", staging, (1, None))
    return make_request(make_version("größe", tags={"note": "a \ud83d\ude00 b"}), staging, by=rita)


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita, "evidence:read")


def test_the_evidence_is_the_very_bytes_that_are_signed(asked: PromotionRequest, machine: Machine) -> None:
    found = machine.get(f"/requests/{asked.pk}/evidence")
    assert hashlib.sha256(found.response.content).hexdigest() == asked.fingerprint
    assert found.header("ETag") == f'"{asked.fingerprint}"'
    assert found.body == json.loads(asked.evidence)
    again = machine.get(f"/requests/{asked.pk}/evidence", if_none_match=found.header("ETag"))
    assert (again.status, again.response.content) == (304, b"")


def test_there_is_no_certificate_before_it_is_approved(asked: PromotionRequest, machine: Machine, remy: User) -> None:
    before = machine.get(f"/requests/{asked.pk}/certificate")
    assert (before.status, before["code"]) == (404, "not_certified")
    assert before["detail"] == "There is a certificate once all approvals are given."
    approve(asked, remy)
    found = machine.get(f"/requests/{asked.pk}/certificate")
    assert (found.status, found["status"], found["fingerprint"]) == (200, "approved", asked.fingerprint)
    (signature,) = found["signatures"]
    assert (signature["signed_by"], signature["fingerprint"]) == (remy.label, asked.fingerprint)
    assert [each["action"] for each in found["events"]] == [
        "request.created",
        "request.checked",
        "review.approved",
        "request.approved",
    ]
    assert found["files"] == {"digest": "d" * 64, "bytes": 3, "count": 1}


@pytest.mark.parametrize("part", ["evidence", "certificate"])
def test_it_has_a_scope_of_its_own(asked: PromotionRequest, remy: User, machine: Machine, part: str) -> None:
    found = Machine(remy, "read").get(f"/requests/{asked.pk}/{part}")
    assert (found.status, found["code"]) == (403, "scope_missing")
    assert machine.get(f"/requests/999/{part}")["code"] == "no_such_request"
