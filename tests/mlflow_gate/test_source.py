import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow_gate.policy import UNKNOWN
from mlflow_gate.settings import Settings
from mlflow_gate.source import Signed, Source, checked, fetch

from tests.support.gate import KEY, OTHER_KEY, Countersign, policy_text
from tests.support.waiting import within


def asked(settings: Settings) -> Source:
    source = Source(settings)
    source.ask()
    return source


def test_the_policy_is_asked_for_beside_the_requests(site: Countersign, settings: Settings) -> None:
    source = Source(settings)
    with site.silent:
        assert source.policy() is UNKNOWN, "a request does not wait"
    assert within(5, lambda: source.policy().serial == 12)


def test_what_did_not_change_is_not_sent_again(site: Countersign, settings: Settings) -> None:
    source = asked(settings)
    first = source._policy
    source.ask()
    assert (site.asked, site.unchanged) == (2, 1)
    assert source._policy is first
    site.serve(policy_text(serial=13))
    source.ask()
    assert source._policy.serial == 13


def test_the_last_good_policy_is_there_after_a_restart_without_countersign(
    site: Countersign, settings: Settings
) -> None:
    asked(settings)
    assert stat.S_IMODE(settings.state.stat().st_mode) == 0o600
    away = replace(settings, policy="http://127.0.0.1:9/gate/policy")
    assert asked(away)._policy.serial == 12


def test_nothing_is_known_before_the_first_answer(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    source = asked(replace(settings, policy="http://127.0.0.1:9/gate/policy"))
    assert source._policy is UNKNOWN
    assert "nothing is known, and what could be a place is closed" in caplog.text


def test_an_older_policy_changes_nothing(
    site: Countersign, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    source = asked(settings)
    site.serve(policy_text(serial=11))
    source.ask()
    assert source._policy.serial == 12
    assert "The policy is an older one, 11; 12 is known." in caplog.text
    assert asked(settings)._policy.serial == 12, "nor after a restart"


def test_a_policy_that_a_stranger_signed_changes_nothing(
    site: Countersign, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    source = asked(settings)
    site.serve(policy_text(serial=13), key=OTHER_KEY)
    source.ask()
    assert source._policy.serial == 12
    assert "The policy does not hold: the signature is of no key that MLflow trusts." in caplog.text


@pytest.mark.parametrize("text", [b"{", policy_text(audience="other", serial=13), b"[]"])
def test_a_policy_that_is_none_changes_nothing(site: Countersign, settings: Settings, text: bytes) -> None:
    source = asked(settings)
    site.serve(text)
    source.ask()
    assert source._policy.serial == 12


def test_what_is_kept_is_checked_as_what_is_fetched(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    asked(settings)
    kept = json.loads(settings.state.read_text())
    settings.state.write_text(json.dumps(kept | {"policy": kept["policy"].replace("enforce", "observe")}))
    assert Source(settings)._policy is UNKNOWN
    settings.state.write_text("not JSON")
    assert Source(settings)._policy is UNKNOWN
    assert caplog.text.count("is not used") == 2


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert asked(replace(settings, state=tmp_path / "file" / "gate.json"))._policy.serial == 12


def test_the_policy_may_be_a_file(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    found = fetch(settings)
    assert found
    found.write(path)
    source = asked(replace(settings, policy=str(path), state=tmp_path / "other.json"))
    assert source._policy.serial == 12
    path.write_text("{}")
    source.ask()
    assert source._policy.serial == 12


def test_the_token_is_for_countersign_alone(site: Countersign, settings: Settings) -> None:
    """An answer that names another address is not followed."""
    site.redirect = f"{site.url}/gate/policy"
    assert asked(settings)._policy is UNKNOWN
    assert site.asked == 1


def test_a_signature_of_any_key_that_is_trusted_holds(settings: Settings) -> None:
    both = replace(settings, keys=(OTHER_KEY.public_key(), KEY.public_key()))
    found = fetch(both)
    assert found
    assert checked(both, found).serial == 12
    with pytest.raises(ValueError, match="does not hold"):
        checked(replace(settings, keys=(OTHER_KEY.public_key(),)), found)
    with pytest.raises(ValueError, match="does not hold"):
        checked(settings, Signed(found.text, ""))
