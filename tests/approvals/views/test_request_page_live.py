"""The page of a request while a delivery runs: what it asks for, and what is swapped."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.models import OutboxEntry, PromotionRequest, Target
from mirror.models import ModelVersion
from tests.support.factories import approve, make_request, make_version
from tests.support.pages import note_of
from tests.support.request_pages import MODEL, make_asked, read, see
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


@pytest.fixture
def approved(asked: PromotionRequest, remy: User, rosa: User) -> PromotionRequest:
    return approve(asked, remy, rosa)


@pytest.fixture
def live(client: Client, approved: PromotionRequest, remy: User) -> Callable[..., HttpResponse]:
    client.force_login(remy)

    def get(seen: str = "") -> HttpResponse:
        return client.get(f"{approved.get_absolute_url()}live/", {"seen": seen}, headers={"HX-Request": "true"})  # type: ignore[return-value]

    return get


def entry_is(request: PromotionRequest, **fields: Any) -> None:
    OutboxEntry.objects.filter(request=request).update(**fields)


def test_the_page_asks_for_news_only_while_a_delivery_runs(
    client: Client, approved: PromotionRequest, remy: User
) -> None:
    html = see(client, remy, approved)
    assert f'hx-get="/requests/{approved.pk}/live/" hx-trigger="every 1s"' in html
    assert 'aria-live="polite"' in html
    assert f'<noscript><p><a href="/requests/{approved.pk}/">Refresh</a></p></noscript>' in html
    settle(approved)
    html = see(client, remy, approved)
    assert f"/requests/{approved.pk}/live/" not in html
    assert "every 1s" not in html


def test_nothing_is_sent_while_nothing_has_changed(
    live: Callable[..., HttpResponse], approved: PromotionRequest
) -> None:
    first = live()
    assert first.status_code == 200
    seen = re.search(r'name="seen" value="([^"]+)"', first.content.decode())
    assert seen
    assert live(seen[1]).status_code == 204
    entry_is(approved, lease_expires_at=timezone.now() + timedelta(minutes=1), attempts=1)
    assert live(seen[1]).status_code == 200


def test_the_end_stops_the_asking_and_swaps_every_part(
    live: Callable[..., HttpResponse], approved: PromotionRequest
) -> None:
    settle(approved)
    ModelVersion.objects.filter(pk=approved.version_id).update(
        description=f"New.\n\n<!-- countersign:begin -->\n{note_of(approved).line}\n<!-- countersign:end -->"
    )
    hold(approved.version, approved.target)
    answer = live()
    html = answer.content.decode()
    assert answer.status_code == 286
    for part in ("request-head", "request-aside", "request-timeline"):
        assert re.search(rf'id="{part}" hx-swap-oob="true"', html)
    text = read(html)
    assert re.search(r"Version 2 holds Production since \d\d:\d\d", text)
    assert read(note_of(approved).line.replace("<", "&lt;").replace(">", "&gt;")) in text
    assert "Countersign worker promoted version 2 to Production" in text
    assert "<html" not in html


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Countersign is about to update MLflow."),
        ({"lease_expires_at": timedelta(minutes=1), "attempts": 1}, "Countersign is updating MLflow."),
        (
            {
                "waiting_since": timedelta(minutes=-4),
                "available_at": timedelta(minutes=2),
                "last_error": "Connection refused.",
            },
            r"Waiting for MLflow since TIME; next try at TIME\..* Connection refused\.",
        ),
        ({"available_at": timedelta(minutes=-4)}, r"Delivery is delayed: no worker has picked it up since TIME\."),
        (
            {"available_at": timedelta(minutes=-4), "lease_expires_at": timedelta(minutes=-1)},
            r"Delivery is delayed: no worker has picked it up since TIME\.",
        ),
    ],
)
def test_the_delivery_is_told_in_words(
    live: Callable[..., HttpResponse], approved: PromotionRequest, fields: dict[str, Any], sentence: str
) -> None:
    now = timezone.now()
    entry_is(approved, **{key: now + value if isinstance(value, timedelta) else value for key, value in fields.items()})
    answer = live()
    assert answer.status_code == 200
    text = read(answer.content.decode())
    assert re.search(sentence.replace("TIME", r"(?:\d+ \w{3} )?\d\d:\d\d"), text)


def test_a_delivery_behind_another_names_it(
    client: Client, approved: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> None:
    second = approve(make_request(make_version(MODEL), production, by=rita), remy, rosa)
    text = read(see(client, remy, second))
    assert f"Delivery waits for request #{approved.pk}, which goes first." in text


def test_what_was_applied_and_replaced_since_says_so(
    client: Client, approved: PromotionRequest, remy: User, production: Target
) -> None:
    settle(approved)
    hold(make_version(MODEL), production)
    text = read(see(client, remy, approved))
    assert re.search(r"Version 2 reached Production at \d\d:\d\d; version 3 is there now\.", text)
    assert "The approval note is not in MLflow's description." in text


def test_an_unknown_request_is_not_found(client: Client, remy: User) -> None:
    client.force_login(remy)
    for path in ("/requests/999/", "/requests/999/live/"):
        assert client.get(path).status_code == 404
