"""The list of models and one model's page: what stands in the rows, filters, sorting, and a fixed number of queries."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Target
from approvals.selectors import catalogue, champions, target_holders
from mirror.models import Alias, ModelVersion, RegisteredModel
from tests.support.factories import approve, make_commenter, make_model, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"


@pytest.fixture
def page(client: Client, vera: User) -> Callable[[str], str]:
    """The visible text of a page, seen by an auditor."""
    client.force_login(vera)

    def get(path: str) -> str:
        answer = client.get(path)
        assert answer.status_code == 200
        return answer.content.decode()

    return get


def names(html: str) -> list[str]:
    return re.findall(r'<a class="row-title break" href="/models/([^/"]+)/"', html)


def test_models_are_empty_until_one_is_registered(page: Callable[[str], str]) -> None:
    assert "mlflow.register_model(model_uri, &quot;churn_predictor&quot;)" in page("/models/").replace('"', "&quot;")


def test_a_model_row_names_holders_newest_version_and_open_requests(
    page: Callable[[str], str], rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    six, seven = make_version(MODEL, 6), make_version(MODEL, 7)
    request = settle(make_request(six, production, by=rita), remy, rosa)
    hold(six, production)
    make_request(seven, production, by=rita)
    html = page("/models/")
    row = text_of(html[html.index("<tbody>") : html.index("</tbody>")])
    assert request.closed_at is not None
    assert row.split(" Version 7")[0] == f"{MODEL} – Version 6 promoted 0 minutes ago {request.closed_at:%H:%M}"
    assert "Version 7 1 open" in row


def test_who_wants_to_request_a_promotion_chooses_the_version_in_the_list(
    page: Callable[[str], str], client: Client, rita: User, production: Target
) -> None:
    make_version(MODEL, 7)
    choosing = '<a class="btn btn-quiet btn-sm" href="/models/churn_predictor/versions/7/promote/"'
    assert choosing not in page("/models/?request=1")  # an auditor
    client.force_login(rita)
    shown = client.get("/models/?request=1&q=churn").content.decode()
    assert choosing in shown
    assert "<h1>Request promotion</h1>" in shown
    assert '<input type="hidden" name="request" value="1">' in shown
    assert choosing not in client.get("/models/").content.decode()
    make_request(ModelVersion.objects.get(number=7), production, by=rita)
    assert choosing not in client.get("/models/?request=1").content.decode()  # it has its request


def test_a_holder_without_a_request_was_there_before_the_gate(page: Callable[[str], str], production: Target) -> None:
    hold(make_version(MODEL, 1), production)
    assert "before Countersign" in text_of(page("/models/"))


def test_a_holder_that_no_request_put_there_is_called_out(
    page: Callable[[str], str], rita: User, remy: User, rosa: User, production: Target
) -> None:
    six, seven = make_version(MODEL, 6), make_version(MODEL, 7)
    settle(make_request(six, production, by=rita), remy, rosa)
    hold(seven, production)
    assert "changed outside Countersign" in text_of(page("/models/"))
    assert "Not approved through Countersign." in text_of(page(f"/models/{MODEL}/"))


def test_a_version_put_back_by_hand_is_not_dated_by_its_old_request(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    six, seven = make_version(MODEL, 6), make_version(MODEL, 7)
    for each in (six, seven):
        settle(make_request(each, production, by=rita), remy, rosa)
    hold(six, production)
    (holding,) = target_holders.of([six.model], [production])[six.model_id]
    assert (holding.version, holding.via, holding.since) == (six, target_holders.OUTSIDE, None)


def test_models_can_be_searched_filtered_and_sorted(
    page: Callable[[str], str], rita: User, staging: Target, production: Target
) -> None:
    now = timezone.now()
    for age, name in enumerate(("alpha", "beta", "gamma")):
        make_version(make_model(name, last_updated_at=now - timedelta(hours=age)), 1)
    make_model("gone", deleted_at=now)
    hold(ModelVersion.objects.get(model__name="beta"), production)
    make_request(ModelVersion.objects.get(model__name="gamma"), staging, by=rita)
    assert names(page("/models/")) == ["alpha", "beta", "gamma"]
    assert names(page("/models/?sort=changed")) == ["gamma", "beta", "alpha"]
    assert names(page("/models/?sort=-name")) == ["gamma", "beta", "alpha"]
    assert names(page("/models/?q=ALP")) == ["alpha"]
    assert names(page("/models/?show=open")) == ["gamma"]
    assert names(page("/models/?show=idle")) == ["alpha", "gamma"]
    assert names(page("/models/?show=deleted")) == ["gone"]
    assert "No models match." in page("/models/?q=nothing")


@pytest.mark.each_database
@pytest.mark.parametrize("nonsense", ["sort=evil", "show=evil", "page=evil", "page=999999", "page=-1"])
def test_nonsense_in_the_address_gives_the_plain_list(page: Callable[[str], str], nonsense: str) -> None:
    make_version("alpha", 1)
    assert names(page(f"/models/?{nonsense}")) == ["alpha"]


def test_an_alias_of_a_deleted_version_holds_nothing(page: Callable[[str], str]) -> None:
    version = make_version("alpha", 1, deleted_at=timezone.now())
    Alias.objects.create(model=version.model, name="champion", number=1)
    assert names(page("/models/?show=idle")) == ["alpha"]


def test_the_champion_of_many_models_is_the_one_that_the_gate_compares_with(
    staging: Target, production: Target
) -> None:
    for name in ("stage_only", "alias_only", "both", "two_staged", "none"):
        for number in (1, 2, 3):
            make_version(name, number)
    hold(ModelVersion.objects.get(model__name="both", number=2), production)
    ModelVersion.objects.filter(model__name="stage_only", number=1).update(stage="Production")
    ModelVersion.objects.filter(model__name="two_staged", number__lte=2).update(stage="Staging")
    Alias.objects.create(model=RegisteredModel.objects.get(name="alias_only"), name="champion", number=3)
    Alias.objects.create(model=RegisteredModel.objects.get(name="stage_only"), name="champion", number=3)
    models = list(RegisteredModel.objects.all())
    found = target_holders.of(models, [staging, production])
    for model in models:
        held = {holding.target.name: holding.version for holding in found[model.pk]}
        for target in (staging, production):
            assert held.get(target.name) == champions.champion_of(model, target)


def test_the_model_page_shows_champion_cards_chart_versions_and_history(
    page: Callable[[str], str], rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    for number in range(1, 8):
        make_version(MODEL, number, metrics={"auc_roc": 0.8 + number / 100, "log_loss": 0.5})
    seven = ModelVersion.objects.get(number=7)
    request = settle(make_request(seven, production, by=rita), remy, rosa)
    hold(seven, production)
    html = page(f"/models/{MODEL}/")
    text = text_of(html)
    assert f"request #{request.pk}" in text
    assert "Approved by RO Remy Ortiz RL Rosa Lind" in text
    assert "No version Staging is empty." in text
    assert (
        'aria-label="auc_roc from 0.81 in version 1 to 0.87 in version 7. Version 7 holds Production with 0.87."'
        in html
    )
    assert html.count('class="chart-dot"') == 7
    assert "Production : Remy Ortiz , Rosa Lind" in text
    assert "requested churn_predictor version 7 for Production" in text
    assert f'href="/history/?model={MODEL}"' in html
    assert 'aria-label="log_loss from 0.5' in page(f"/models/{MODEL}/?metric=log_loss")


def test_the_history_is_left_out_for_people_who_may_not_read_it(client: Client) -> None:
    make_version(MODEL, 1)
    client.force_login(make_commenter())
    assert "/history/" not in client.get(f"/models/{MODEL}/").content.decode()


def test_a_deleted_model_and_its_versions_stay_readable(page: Callable[[str], str]) -> None:
    at = timezone.now()
    make_version(make_model("gone", deleted_at=at), 1, deleted_at=at)
    text = text_of(page("/models/gone/"))
    assert "Deleted in MLflow" in text
    assert "Version 1 Deleted" in text


def test_descriptions_are_sanitised_markdown(page: Callable[[str], str]) -> None:
    make_model("marked", description="Who is **likely** to leave <script>alert(1)</script> [x](javascript:alert(1))")
    html = page("/models/marked/")
    assert "<strong>likely</strong>" in html
    assert "<script>alert" not in html
    assert 'href="javascript' not in html


def test_an_unknown_model_is_not_found(client: Client, vera: User) -> None:
    client.force_login(vera)
    assert client.get("/models/nothing/").status_code == 404


def test_names_with_odd_characters_have_their_page(page: Callable[[str], str]) -> None:
    for name in ("team/model", "a model?", "größe", "100%", "a#b", "x & <y>"):
        version = make_version(name, 1)
        for path in (version.model.get_absolute_url(), version.get_absolute_url()):
            assert page(path)


def _queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize("path", ["/models/", "/models/model_0/", "/models/model_0/versions/0/"])
def test_the_number_of_queries_does_not_grow_with_rows(
    client: Client, vera: User, rita: User, remy: User, rosa: User, staging: Target, production: Target, path: str
) -> None:
    def grow(number: int) -> None:
        """One more model, one more version of the first model, each with what its row can show."""
        for name, each in ((f"other_{number}", 1), ("model_0", number)):
            version = make_version(name, each)
            settle(make_request(version, production, by=rita), remy, rosa)
            make_request(make_version(name, 100 + each), staging, by=rita)

    client.force_login(vera)
    grow(0)
    few = _queries(client, path)
    for number in range(1, 5):
        grow(number)
    assert _queries(client, path) <= few
    assert few < 37


def test_versions_are_paged_and_the_newest_come_first(page: Callable[[str], str]) -> None:
    for number in range(1, 31):
        make_version(MODEL, number)
    first, second = text_of(page(f"/models/{MODEL}/")), text_of(page(f"/models/{MODEL}/?page=2"))
    assert "1–25 of 30 versions" in first
    assert "26–30 of 30 versions" in second
    assert "26–30 of 30 versions" in text_of(page(f"/models/{MODEL}/?page=last"))


def test_open_requests_of_every_model_are_counted_once(rita: User, staging: Target, production: Target) -> None:
    version = make_version(MODEL, 1)
    make_request(version, staging, by=rita)
    make_request(version, production, by=rita)
    (row,) = catalogue.model_rows([version.model], [staging, production])
    assert row.open_requests == 2


def test_an_approved_request_that_is_not_applied_yet_does_not_count_as_approved(
    page: Callable[[str], str], rita: User, remy: User, staging: Target
) -> None:
    approve(make_request(make_version(MODEL, 1), staging, by=rita), remy)
    assert "requested for Staging" in text_of(page(f"/models/{MODEL}/"))


def test_a_model_shows_its_open_requests_newest_first(client: Client, rita: User, staging: Target) -> None:
    make_request(make_version("other"), staging, by=rita)
    asked = [make_request(make_version(number=number), staging, by=rita) for number in (1, 2, 3)]
    workflow.withdraw(asked[1], by=rita)
    client.force_login(rita)
    shown = client.get(asked[0].version.model.get_absolute_url()).context["open_requests"]
    assert [each.pk for each in shown] == [asked[2].pk, asked[0].pk]
