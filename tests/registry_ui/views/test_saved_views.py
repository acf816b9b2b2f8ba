"""Saved views: saved, opened, made the default and deleted by the person alone; other people's stay theirs."""

import pytest
from django.test import Client

from accounts import erasure
from accounts.models import User
from approvals.models import AuditEvent
from components import saved_views
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db


def post(client: Client, do: str, name: str = "Risk", query: str = "tag=team%3Drisk", page: str = "overview") -> str:
    """Where it leads."""
    answer = client.post(f"/views/{page}/", {"do": do, "name": name, "query": query})
    assert answer.status_code == 302
    return answer["Location"]


def test_a_view_is_saved_opened_made_the_default_and_deleted(client: Client, vera: User) -> None:
    client.force_login(vera)
    before = AuditEvent.objects.count()
    assert post(client, "save", query="page=3&tag=team%3Drisk&state=&q=") == "/overview/?tag=team%3Drisk"
    page = client.get("/overview/?tag=team%3Drisk").content.decode()
    assert "The view Risk is saved." in text_of(page)
    assert '<a class="menu-item break" href="/overview/?tag=team%3Drisk" aria-current="true">' in page
    assert client.get("/overview/").status_code == 200
    post(client, "default")
    assert client.get("/overview/")["Location"] == "/overview/?tag=team%3Drisk"
    assert client.get("/overview/?view=none").status_code == 200
    assert client.get("/overview/?q=").status_code == 200
    assert post(client, "no-default", query="") == "/overview/?view=none"
    assert client.get("/overview/").status_code == 200
    post(client, "default")
    post(client, "delete")
    vera.refresh_from_db()
    assert saved_views.of(vera, "overview") == []
    assert client.get("/overview/").status_code == 200
    assert AuditEvent.objects.count() == before


def test_a_view_of_the_same_name_is_replaced(client: Client, vera: User) -> None:
    client.force_login(vera)
    post(client, "save", name=" Risk ")
    post(client, "save", query="q=x")
    vera.refresh_from_db()
    assert saved_views.of(vera, "overview") == [saved_views.View("Risk", "q=x")]


def test_views_are_of_one_person_and_one_page(client: Client, vera: User, rita: User) -> None:
    client.force_login(vera)
    post(client, "save")
    client.force_login(rita)
    assert 'aria-label="Saved views"' not in client.get("/overview/").content.decode()
    vera.refresh_from_db()
    assert saved_views.of(vera, "inbox") == []


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("name", "query", "sentence"),
    [
        ("  ", "q=x", "Give the view a name of at most 60 characters."),
        ("n" * 61, "q=x", "Give the view a name of at most 60 characters."),
        ("long", f"q={'x' * 2000}", "This view has too many filters to be saved."),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(
    client: Client, vera: User, name: str, query: str, sentence: str
) -> None:
    client.force_login(vera)
    client.post("/views/overview/", {"do": "save", "name": name, "query": query})
    assert sentence in text_of(client.get("/overview/").content.decode())
    vera.refresh_from_db()
    assert vera.saved_views == {}


def test_there_are_so_many_at_most(vera: User) -> None:
    for number in range(saved_views.MOST):
        saved_views.save(vera, "overview", name=f"View {number}", query="q=x")
    saved_views.save(vera, "overview", name="View 0", query="q=y")
    with pytest.raises(saved_views.Refused):
        saved_views.save(vera, "overview", name="One more", query="q=x")


def test_a_page_without_views_is_not_found(client: Client, vera: User) -> None:
    client.force_login(vera)
    assert client.post("/views/models/", {"do": "save", "name": "x"}).status_code == 404
    assert client.get("/views/overview/").status_code == 405


def test_views_go_when_a_person_is_erased(vera: User) -> None:
    saved_views.save(vera, "overview", name="My team", query="q=vera")
    erasure.erase(vera)
    assert vera.saved_views == {}


@pytest.mark.parametrize(("page", "address"), [("inbox", "/"), ("queue", "/queue/")])
def test_inbox_and_queue_have_views_of_their_own(client: Client, remy: User, page: str, address: str) -> None:
    client.force_login(remy)
    assert post(client, "save", query="model=churn&done=3", page=page) == f"{address}?model=churn"
    post(client, "default", query="model=churn", page=page)
    assert client.get(address)["Location"] == f"{address}?model=churn"
    shown = client.get(f"{address}?model=churn").content.decode()
    assert f'href="{address}?model=churn" aria-current="true"' in shown
    assert client.get(f"{address}?view=none").status_code == 200
    assert client.get("/overview/").status_code == 200
