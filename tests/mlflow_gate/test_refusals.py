import json
from dataclasses import replace

import pytest
from mlflow_gate import refusals
from mlflow_gate.refusals import Teller
from mlflow_gate.settings import Settings

from approvals.enforcement.refusals import MOST_BYTES
from tests.support.gate import Countersign
from tests.support.waiting import within

REFUSAL = {"id": "a", "who": "rita", "operation": "transition_model_version_stage", "model": "churn", "version": 2}


def test_countersign_is_told(site: Countersign, settings: Settings) -> None:
    teller = Teller(settings)
    teller.tell(REFUSAL)
    assert within(5, lambda: site.refusals == [REFUSAL])


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Teller:
    """One whose thread does nothing."""
    monkeypatch.setattr(Teller, "_run", lambda self: None)
    return Teller(settings)


def test_what_cannot_be_told_waits(quiet: Teller, site: Countersign, settings: Settings) -> None:
    away = Teller(replace(settings, policy="http://127.0.0.1:9/gate/policy"))
    away.tell(REFUSAL)
    assert not away.send()
    assert len(away._waiting) == 1
    away._settings = settings
    assert away.send()
    assert site.refusals == [REFUSAL]
    assert not away._waiting


def test_no_more_waits_than_there_is_room_for(quiet: Teller, site: Countersign) -> None:
    for number in range(refusals.MOST + 50):
        quiet.tell({"id": str(number)})
    assert len(quiet._waiting) == refusals.MOST
    while quiet._waiting:
        assert quiet.send()
    assert [told["id"] for told in site.refusals] == [str(number) for number in range(refusals.MOST)]
    assert quiet.send(), "nothing to tell is no trouble"


def test_no_text_is_so_long_that_countersign_does_not_take_it(quiet: Teller, site: Countersign) -> None:
    for number in range(refusals.AT_ONCE):
        quiet.tell({"id": str(number), "who": "😀" * 9999, "model": "😀" * 256, "place": "tag:" + "x" * 600_000})
    assert quiet.send()
    assert len(json.dumps(site.refusals)) < MOST_BYTES
    assert site.refusals[0]["place"] == ("tag:" + "x" * 600_000)[: refusals.LONGEST]
