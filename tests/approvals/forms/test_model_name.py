"""Names with a space at an end, which MLflow allows: found wherever a model is asked for by its name."""

import pytest
from django.test import Client

from accounts.models import User
from approvals.forms.urgent import BreakGlassForm
from approvals.models import Target
from approvals.tenures import importing, model_names
from tests.support.factories import make_model, make_request, make_version

pytestmark = pytest.mark.django_db
ODD = "churn "


@pytest.fixture
def asked(rita: User, production: Target) -> None:
    make_request(make_version(ODD), production, by=rita)
    make_request(make_version("fraud"), production, by=rita)


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("typed", "meant"), [(ODD, ODD), ("fraud", "fraud"), (" fraud ", "fraud"), ("churn", "churn"), ("a\x00 ", "a\x00")]
)
def test_a_name_is_taken_as_typed_where_there_is_one(asked: None, typed: str, meant: str) -> None:
    assert model_names.known(typed) == meant


@pytest.mark.each_database
@pytest.mark.parametrize(
    "page", ["/history/", "/history/audit/", "/history/audit/access/", "/history/at/", "/policies/", "/incidents/"]
)
@pytest.mark.parametrize("name", [ODD, " fraud"])
def test_every_filter_by_model_finds_it(asked: None, ada: User, client: Client, page: str, name: str) -> None:
    client.force_login(ada)
    answer = client.get(page, {"model": name})
    assert answer.status_code == 200
    assert "No model has this name" not in answer.content.decode()


def test_exports_take_it_as_well(asked: None, vera: User, client: Client) -> None:
    client.force_login(vera)
    lines = b"".join(client.get("/history/export.csv", {"model": ODD}).streaming_content).decode()  # type: ignore[arg-type]
    assert ODD in lines
    assert "fraud" not in lines
    assert client.get("/history/audit/export/population.csv", {"model": ODD}).status_code == 200


def test_its_glass_can_be_broken(asked: None) -> None:
    for typed in (ODD, "churn"):
        form = BreakGlassForm({"model_name": typed}, expected=ODD)
        assert "model_name" not in form.errors


def test_an_earlier_history_can_name_it(asked: None) -> None:
    rest = "1,Staging,2025-01-01,2025-02-01"
    content = f"model,version,target,from,until\n{ODD},{rest}\n fraud ,{rest}\n".encode()
    assert [row.model for row in importing.check(content).rows] == [ODD, "fraud"]
    make_model("churn")
    assert importing.check(content).rows[0].model == ODD
