import json
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow_gate import opening
from mlflow_gate.policy import ENFORCE, OBSERVE
from mlflow_gate.settings import Settings

from tests.mlflow_gate.conftest import GuardedRegistry
from tests.support.gate import Countersign


def begin(settings: Settings, **changes: Any) -> opening.Opening:
    return opening.begin(settings, **({"minutes": 30, "reason": "Countersign is lost", "who": "otto"} | changes))


def test_while_it_is_open_all_goes_on_and_is_told(registry: GuardedRegistry, settings: Settings) -> None:
    registry.versions("churn", 2)
    begin(settings)
    registry.guarded.transition_model_version_stage("churn", "2", "Production", False)
    assert [each["mode"] for each in registry.told] == [OBSERVE]
    ended = opening.end(settings)
    assert ended
    assert ended.reason == "Countersign is lost"
    with pytest.raises(Exception, match="cannot be moved to Production"):
        registry.guarded.transition_model_version_stage("churn", "1", "Production", False)


def test_it_ends_by_the_clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(settings, minutes=30)
    assert settings.mode_now() == OBSERVE
    assert opening.standing(settings) == made
    monkeypatch.setattr(time, "time", lambda: made.at + 30 * 60 + 1)
    assert settings.mode_now() == ENFORCE
    assert opening.standing(settings) is None


def test_who_opens_it_again_begins_anew_and_both_are_told(settings: Settings, site: Countersign) -> None:
    first, second = begin(settings), begin(settings, minutes=5, reason="Once more,\n shorter")
    assert opening.standing(settings) == second
    assert opening.tell(settings)
    assert {each["id"]: (each["minutes"], each["reason"], each["who"]) for each in site.openings} == {
        first.id: (30, "Countersign is lost", "otto"),
        second.id: (5, "Once more, shorter", "otto"),
    }
    assert opening.tell(settings)
    assert len(site.openings) == 2


def test_it_is_told_when_countersign_is_there_again(settings: Settings, site: Countersign) -> None:
    away = replace(settings, policy="http://127.0.0.1:9/gate/policy")
    begin(away)
    assert not opening.tell(away)
    opening.end(away)
    assert opening.tell(settings)
    assert [each["reason"] for each in site.openings] == ["Countersign is lost"]


def test_one_that_stays_in_the_folder_keeps_no_other_back(
    settings: Settings, site: Countersign, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {begin(settings).id for _ in range(3)}

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError("whoever opened it owns the folder")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert not opening.tell(settings)
    assert {each["id"] for each in site.openings} == made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(({"minutes": minutes}, "for 1 to 1440 minutes") for minutes in (0, -5, 1441)),
        *(({"reason": reason}, "Say why") for reason in ("", " \n ", "x" * 1001)),
    ],
)
def test_without_a_reason_or_a_time_it_stays_shut(changes: dict[str, Any], words: str, settings: Settings) -> None:
    with pytest.raises(ValueError, match=words):
        begin(settings, **changes)
    assert settings.mode_now() == ENFORCE
    assert opening.tell(settings)


def test_a_mode_that_is_weaker_stays(settings: Settings) -> None:
    begin(settings)
    assert replace(settings, mode="off").mode_now() == "off"


def test_the_server_reads_it_also_as_another_user(settings: Settings) -> None:
    begin(settings)
    assert stat.S_IMODE(settings.opening.stat().st_mode) == 0o644


@pytest.mark.parametrize("text", ["", "{", "[]", '{"until": "soon"}', '{"until": null}'])
def test_a_file_that_cannot_be_read_opens_nothing(text: str, settings: Settings) -> None:
    settings.opening.parent.mkdir(parents=True, exist_ok=True)
    settings.opening.write_text(text)
    assert settings.mode_now() == ENFORCE
    assert opening.standing(settings) is None
    settings.opening.write_text(json.dumps({"until": time.time() + 60}))
    assert settings.mode_now() == OBSERVE
