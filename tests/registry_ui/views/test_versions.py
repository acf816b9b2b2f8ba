"""One version's page: provenance, checked approval notes, comparison, thousands of values, the promotion panel."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.evidence import approval_note
from approvals.models import PromotionRequest, Target
from approvals.selectors import note_claims
from mirror.models import ModelVersion, RegisteredModel
from mirror.port import PROMPT_TAG
from tests.support.factories import approve, make_request, make_version
from tests.support.pages import note_of, text_of
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"
URL = f"/models/{MODEL}/versions/7/"


@pytest.fixture
def seen_by(client: Client) -> Callable[..., str]:
    def get(person: User, path: str = URL) -> str:
        client.force_login(person)
        answer = client.get(path)
        assert answer.status_code == 200
        return answer.content.decode()

    return get


def noted(version: ModelVersion, request: PromotionRequest, line: str | None = None) -> ModelVersion:
    """The version as it reads after the delivery wrote its note, or another line, into the description."""
    text = approval_note.with_note("Own words.", note_of(request), limit=5000)
    version.description = text if line is None else text.replace(note_of(request).line, line)
    version.save()
    return version


def test_provenance_is_found_in_tags_params_and_the_run(seen_by: Callable[..., str], vera: User) -> None:
    make_version(
        MODEL,
        7,
        tags={"training_cutoff": "2026-10-31"},
        params={"training_data_hash": "9f2c"},
        run={"tags": {"mlflow.source.git.commit": "a7c01"}, "name": "nightly", "experiment_id": "3", "run_id": "run7"},
    )
    html = seen_by(vera)
    text = text_of(html)
    assert "Training data 9f2c training_data_hash, a parameter of the run" in text
    assert "Data up to 2026-10-31 training_cutoff, a tag of the version" in text
    assert "Code a7c01 mlflow.source.git.commit, a tag of the run" in text
    assert "Run nightly (run7)" in text
    assert "/#/experiments/3/runs/run7" in html
    assert f"/#/models/{MODEL}/versions/7" in html
    assert f'data-copy="models:/{MODEL}/7"' in html
    assert "not known" not in text


def test_missing_provenance_says_which_key_and_how_to_log_it(seen_by: Callable[..., str], vera: User) -> None:
    make_version(MODEL, 7, run_id="")
    text = text_of(seen_by(vera))
    assert text.count("not known.") == 4
    assert 'mlflow.log_param("training_cutoff", "2026-10-31")' in text
    assert 'mlflow.set_tag("git_commit", commit)' in text


def test_a_logged_data_set_stands_for_the_missing_hash(seen_by: Callable[..., str], vera: User) -> None:
    make_version(
        MODEL, 7, run={"datasets": [{"name": "churn_10", "digest": "a1b2", "source": "s3://b", "context": "training"}]}
    )
    assert "Training data churn_10 (a1b2) logged data sets of the run" in text_of(seen_by(vera))


def test_a_note_that_the_gate_wrote_is_verified(
    seen_by: Callable[..., str], vera: User, rita: User, remy: User, rosa: User, production: Target
) -> None:
    seven = make_version(MODEL, 7)
    request = settle(make_request(seven, production, by=rita), remy, rosa)
    noted(seven, request)
    text = text_of(seen_by(vera))
    assert f"{note_of(request).line} Matches our records." in text
    assert "Not written by Countersign" not in text
    assert "Own words." in text
    assert "countersign:begin" not in text


def test_a_renamed_approver_does_not_make_an_old_note_doubtful(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    seven = make_version(MODEL, 7)
    noted(seven, settle(make_request(seven, production, by=rita), remy, rosa))
    User.objects.filter(pk=remy.pk).update(name="Remy Renamed")
    assert [note.doubt for note in note_claims.check(seven)] == [""]


def test_a_note_without_a_request_is_called_out(seen_by: Callable[..., str], vera: User) -> None:
    line = "Approved for Production by Mallory <m@example.com> · 2026-11-01 10:00 UTC · request #99"
    make_version(MODEL, 7, description=f"{approval_note.BEGIN}\n{line}\n{approval_note.END}")
    text = text_of(seen_by(vera))
    assert "Not written by Countersign. There is no request #99." in text


def test_a_note_with_an_impossible_number_is_called_out(seen_by: Callable[..., str], vera: User) -> None:
    line = f"Approved for Production · request #{'9' * 400}"
    make_version(MODEL, 7, description=f"{approval_note.BEGIN}\n{line}\n{approval_note.END}")
    assert "Not written by Countersign." in text_of(seen_by(vera))


def test_notes_that_say_something_else_than_our_records_are_called_out(
    rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    seven, eight = make_version(MODEL, 7), make_version(MODEL, 8)
    done = settle(make_request(seven, production, by=rita), remy, rosa)
    line = note_of(done).line
    (altered,) = note_claims.check(noted(seven, done, line.replace("Rosa Lind <rosa@", "Mallory <m@")))
    assert altered.doubt == f"Countersign wrote: {line}"
    (other,) = note_claims.check(noted(eight, done))
    assert other.doubt == f"Request #{done.pk} is about another version."
    asked = make_request(seven, staging, by=rita)
    line = f"Approved for Staging by Remy Ortiz <remy@example.com> · 2026-11-23 12:04 UTC · request #{asked.pk}"
    (early,) = note_claims.check(noted(seven, done, line))
    assert early.doubt == f"Request #{asked.pk} was never applied: waiting for review."


def test_a_shortened_note_and_one_on_its_way_are_not_doubted(rita: User, remy: User, staging: Target) -> None:
    seven = make_version(MODEL, 7)
    request = approve(make_request(seven, staging, by=rita), remy)
    (note,) = note_claims.check(noted(seven, request, f"Approved for Staging · request #{request.pk}"))
    assert (note.doubt, note.is_on_its_way) == ("", True)


def test_a_claim_in_the_engineers_own_text_is_called_out(seen_by: Callable[..., str], vera: User) -> None:
    make_version(MODEL, 7, description="Good.\n\n**Approved for Production** by the whole team")
    assert "It is outside the block that Countersign writes." in text_of(seen_by(vera))


def test_metrics_stand_beside_those_of_a_champion(
    seen_by: Callable[..., str], vera: User, staging: Target, production: Target
) -> None:
    hold(make_version(MODEL, 5, metrics={"auc_roc": 0.9, "log_loss": 0.3}), production)
    hold(make_version(MODEL, 6, metrics={"auc_roc": 0.95, "log_loss": 0.3}), staging)
    make_version(
        MODEL, 7, metrics={"auc_roc": 0.92, "log_loss": 0.33, "odd": "NaN", "big": "Infinity", "rows": 120000.0}
    )
    text = text_of(seen_by(vera))
    assert "auc_roc higher is better 0.92 0.9 +0.02 (+2.2 %) better" in text
    assert "log_loss lower is better 0.33 0.3 +0.03 (+10.0 %) worse" in text
    assert "odd NaN – –" in text
    assert "big ∞ – –" in text
    assert "rows 120,000 – –" in text
    assert "auc_roc higher is better 0.92 0.95 −0.03 (−3.2 %) worse" in text_of(seen_by(vera, f"{URL}?against=Staging"))


def test_thousands_of_params_stay_usable(seen_by: Callable[..., str], vera: User) -> None:
    params = {f"param_{number:04}": str(number) for number in range(2000)} | {"long": "x" * 5000}
    make_version(MODEL, 7, params=params)
    html = seen_by(vera)
    assert html.count("param_") < 30
    assert "Show all 2,001" in html
    assert text_of(html).count("5,000 characters") == 1
    assert "param_1234 1234" in text_of(seen_by(vera, f"{URL}?find=1234"))
    whole = seen_by(vera, f"{URL}?show=params&page=2")
    assert whole.count("param_") == 200
    assert "201–400 of 2,001 params" in text_of(whole)
    assert "No match for “zzz”." in text_of(seen_by(vera, f"{URL}?find=zzz"))


def test_the_panel_offers_what_can_be_asked_and_says_why_not(
    seen_by: Callable[..., str], rita: User, vera: User, staging: Target, production: Target
) -> None:
    seven = make_version(MODEL, 7)
    hold(seven, staging)
    html = seen_by(rita)
    assert f'href="{URL}promote/?target=Production"' in html
    assert "Version 7 is already in Staging." in text_of(html)
    request = make_request(seven, production, by=rita)
    assert f"Request #{request.pk} is open" in text_of(seen_by(rita))
    other = text_of(seen_by(vera, make_version(MODEL, 8).get_absolute_url()))
    assert "Request promotion" not in other
    assert "You need the requester role to request a promotion." in other


def test_a_version_that_is_gone_or_not_ready_is_marked_and_readable(
    seen_by: Callable[..., str], rita: User, vera: User
) -> None:
    make_version(MODEL, 7, deleted_at=timezone.now(), run={"is_missing": True})
    text = text_of(seen_by(rita))
    assert "Deleted in MLflow" in text
    assert "Version 7 no longer exists in MLflow." in text
    assert "Run deleted" in text
    make_version(MODEL, 8, status="FAILED_REGISTRATION")
    assert "FAILED_REGISTRATION" in text_of(seen_by(vera, f"/models/{MODEL}/versions/8/"))


@pytest.mark.parametrize("path", [URL, f"/models/{MODEL}/"])
def test_what_mlflow_hides_is_said(seen_by: Callable[..., str], vera: User, path: str) -> None:
    version = make_version(MODEL, 7)
    assert "does not list" not in seen_by(vera, path)
    RegisteredModel.objects.update(hidden_at=timezone.now())
    text = text_of(seen_by(vera, path))
    assert "Hidden in MLflow" in text
    assert "MLflow does not list" in text
    assert "it is still watched, and can still be promoted" in text
    RegisteredModel.objects.update(tags={PROMPT_TAG: "true"})
    text = text_of(seen_by(vera, path))
    assert "Marked as a prompt" in text
    assert "This model was marked as a prompt in MLflow" in text
    RegisteredModel.objects.update(tags={})
    version.tags = {PROMPT_TAG: "true"}
    version.save()
    assert ("This version was marked as a prompt in MLflow" in text_of(seen_by(vera, path))) is (path == URL)


def test_an_unknown_version_is_not_found(client: Client, vera: User) -> None:
    make_version(MODEL, 7)
    client.force_login(vera)
    assert client.get(f"/models/{MODEL}/versions/8/").status_code == 404


def test_run_links_that_no_browser_should_follow_are_left_out(seen_by: Callable[..., str], vera: User) -> None:
    make_version(MODEL, 7, run_link="javascript:alert(1)")
    assert "javascript:" not in seen_by(vera)
