"""Much missing at once: what is not believed, what is said, and the word of an administrator."""

from typing import Any

import pytest
from django.db import transaction

from mirror import port, sync
from mirror import sweep as sweeping
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.sweep import Doubtful
from tests.support.fakes import FakeRegistry
from tests.support.world import version

pytestmark = pytest.mark.django_db


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.filter(deleted_at=None).values_list("number", "stage"))


@pytest.fixture
def many(registry: FakeRegistry) -> FakeRegistry:
    """250 mirrored versions of 50 models."""
    for number in range(250):
        registry.create_version(f"model_{number % 50:02}")
    sync.sweep(registry)
    registry.calls.clear()
    return registry


def held() -> tuple[int, int]:
    found = RegisteredModel.objects.filter(deleted_at=None), ModelVersion.objects.filter(deleted_at=None)
    return found[0].count(), found[1].count()


@pytest.mark.parametrize("listing", ["models", "versions"])
def test_one_empty_listing_marks_nothing_and_is_called_out(many: FakeRegistry, listing: str) -> None:
    with many.empty(listing), pytest.raises(Doubtful, match="does not list 50 of 50 models"):
        sync.sweep(many)
    state = MirrorState.objects.current()
    assert held() == (50, 250)
    assert state.is_stopped
    assert "nothing was marked as deleted" in state.sweep_error
    assert many.count("model", "version") == 0, "what cannot be believed is not asked for one by one"
    sync.sweep(many)
    assert (MirrorState.objects.current().is_stopped, MirrorState.objects.current().sweep_error) == (False, "")
    assert RegisteredModel.objects.exclude(hidden_at=None).count() == 0


def test_the_stop_holds_for_versions_alone(many: FakeRegistry) -> None:
    for number in range(30):
        many.delete_version(f"model_{number:02}", 1)
    with pytest.raises(Doubtful, match="30 of 250 versions"):
        sync.sweep(many)
    assert held() == (50, 250)


def test_what_is_listed_while_sweeps_are_stopped_is_mirrored(many: FakeRegistry) -> None:
    for number in range(30):
        many.delete_version(f"model_{number:02}", 1)
    many.set_stage("model_40", 1, "Production", archive_existing=False)
    number = many.create_version("model_40", run_id=many.log_run({"auc_roc": 0.9}))
    with pytest.raises(Doubtful):
        sync.sweep(many)
    assert version(1, "model_40").stage == "Production"
    assert version(number, "model_40").metrics == {"auc_roc": 0.9}


def test_confirmed_deletions_are_asked_for_by_name_and_marked(many: FakeRegistry) -> None:
    for number in range(40):
        many.delete_model(f"model_{number:02}")
    with pytest.raises(Doubtful):
        sync.sweep(many)
    many.calls.clear()
    with transaction.atomic():
        assert sync.confirm_missing() == {"models": 40, "of_models": 50, "versions": 0, "of_versions": 250}
        assert sync.confirm_missing() == {}
    assert sync.sweep(many).deleted == 200
    assert held() == (10, 50)
    assert many.count("model", "version") == 80, "each model, and its newest version"
    assert not MirrorState.objects.current().is_stopped


def test_confirming_an_empty_listing_marks_nothing_that_answers(many: FakeRegistry) -> None:
    with many.empty("models"), many.empty("versions"):
        with pytest.raises(Doubtful):
            sync.sweep(many)
        with transaction.atomic():
            sync.confirm_missing()
        assert sync.sweep(many).deleted == 0
    assert held() == (50, 250)


@pytest.mark.parametrize(("percent", "is_stopped"), [(10, True), (12, False)])
def test_the_share_is_a_setting(many: FakeRegistry, settings: Any, percent: int, is_stopped: bool) -> None:
    settings.MISSING_PERCENT = percent
    for number in range(30):
        many.delete_version(f"model_{number:02}", 1)
    if is_stopped:
        with pytest.raises(Doubtful):
            sync.sweep(many)
    else:
        assert sync.sweep(many).deleted == 30


def test_a_few_are_asked_for_in_however_small_a_registry(churn: FakeRegistry) -> None:
    with churn.empty("models"), churn.empty("versions"):
        assert sync.sweep(churn).deleted == 0
    assert stages() == {1: "Production", 2: "None"}
    assert RegisteredModel.objects.get().hidden_at is not None
    sync.sweep(churn)
    assert RegisteredModel.objects.get().hidden_at is None


def test_listings_that_have_nothing_at_all_hide_nobody(churn: FakeRegistry) -> None:
    churn.create_version("fraud_card")
    sync.sweep(churn)
    for _ in range(2):
        with churn.empty("models"), churn.empty("versions"):
            assert sync.sweep(churn).deleted == 0
    assert not RegisteredModel.objects.exclude(hidden_at=None).exists()
    assert not ModelVersion.objects.exclude(deleted_at=None).exists()


@pytest.mark.parametrize("look", [sync.refresh_model, lambda registry, _: sync.sweep(registry)])
def test_one_empty_answer_neither_deletes_nor_hides(churn: FakeRegistry, look: Any) -> None:
    with churn.empty("versions", times=1):
        look(churn, "churn_predictor")
    assert stages() == {1: "Production", 2: "None"}
    assert RegisteredModel.objects.get().hidden_at is None


def test_an_empty_answer_to_a_pull_says_nothing_of_stages(churn: FakeRegistry) -> None:
    before = MirrorState.objects.current().stages_asked_at
    with churn.empty("versions"):
        assert sync.pull(churn).changed == 0
    assert MirrorState.objects.current().stages_asked_at == before
    sync.pull(churn)
    assert MirrorState.objects.current().stages_asked_at > before


def test_a_pull_does_not_hide_that_sweeps_fail(churn: FakeRegistry) -> None:
    churn.fail_next("models", port.Refused("Permission denied"))
    with pytest.raises(port.Refused):
        sync.sweep(churn)
    sync.pull(churn)
    state = MirrorState.objects.current()
    assert (state.is_failing, state.error) == (False, "")
    assert (state.sweep_failing_since is not None, state.sweep_error) == (True, "Permission denied")
    sync.sweep(churn)
    state = MirrorState.objects.current()
    assert (state.sweep_failing_since, state.sweep_error) == (None, "")


def test_no_more_is_asked_by_name_in_one_sweep_than_is_bounded(
    many: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        many.delete_model(f"model_{number:02}")
    monkeypatch.setattr(sweeping, "MOST_ASKED", 10)
    known = MirrorState.objects.current().aliases_asked_at
    assert sync.sweep(many).deleted == 25
    assert MirrorState.objects.current().aliases_asked_at == known, "not all was looked at"
    assert [sync.sweep(many).deleted for _ in range(4)] == [25, 25, 25, 0]


def test_sweep_that_fails_while_asking_for_the_missing_marks_nothing(churn: FakeRegistry) -> None:
    churn.delete_version("churn_predictor", 2)
    churn.fail_next("model")
    with pytest.raises(port.Unreachable):
        sync.sweep(churn)
    assert version(2).deleted_at is None
