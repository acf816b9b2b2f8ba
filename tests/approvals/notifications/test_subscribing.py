"""Who follows a request, and what muting it leaves."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals import notifications, workflow
from approvals.models import Kind, Notification, PromotionRequest, Subscription, Target
from approvals.selectors import subscriptions
from tests.support.factories import approve, make_person, make_request, make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, vera: User, production: Target) -> PromotionRequest:
    return make_request(make_version(number=7), production, by=rita)


def told(kind: Kind) -> list[str]:
    notifications.collect()
    rows = Notification.objects.filter(kind=kind, recipient__isnull=False).order_by("recipient__name")
    return list(rows.values_list("recipient__name", flat=True))


def test_whoever_takes_part_follows_and_others_can(
    asked: PromotionRequest, rita: User, remy: User, rosa: User, vera: User
) -> None:
    nina = make_person("Nina New", "requester")
    workflow.comment(asked, by=nina, body="What about the holdout?")
    notifications.subscribe(asked, vera)
    approve(asked, remy)
    assert told(Kind.COMMENTED) == ["Remy Ortiz", "Rita Sanz", "Vera Holm"]  # remy had approved when it was read
    workflow.review(asked, by=rosa, verdict="request_changes", comment="The cutoff is wrong.")
    assert told(Kind.DECIDED) == ["Nina New", "Remy Ortiz", "Rita Sanz", "Vera Holm"]


def test_who_mutes_hears_only_what_needs_them(asked: PromotionRequest, rita: User, remy: User, rosa: User) -> None:
    for person in (rita, remy):
        notifications.mute(asked, person)
    workflow.comment(asked, by=rosa, body="Hm. @remy.ortiz?")
    workflow.comment(asked, by=rosa, body="Hm.")
    assert told(Kind.COMMENTED) == []
    assert told(Kind.MENTIONED) == ["Remy Ortiz"]
    assert told(Kind.WAITS) == ["Remy Ortiz", "Rosa Lind"]
    notifications.subscribe(asked, rita)
    workflow.comment(asked, by=rosa, body="Well.")
    assert told(Kind.COMMENTED) == ["Rita Sanz"]
    assert Subscription.objects.count() == 2


def test_a_subscription_is_of_one_request(asked: PromotionRequest, rita: User, rosa: User, vera: User) -> None:
    other = make_request(make_version("fraud"), asked.target, by=rita)
    notifications.subscribe(asked, vera)
    workflow.comment(other, by=rosa, body="Hm.")
    assert told(Kind.COMMENTED) == ["Rita Sanz"]


def test_the_page_says_whether_one_follows_and_changes_it(
    client: Client, asked: PromotionRequest, rita: User, remy: User, vera: User
) -> None:
    def page(person: User) -> str:
        client.force_login(person)
        return text_of(client.get(asked.get_absolute_url()).content.decode())

    assert "You are notified because you requested it. Mute" in page(rita)
    assert "You are only notified when something needs you. Subscribe" in page(vera)
    address = f"{asked.get_absolute_url()}follow/"
    assert client.get(address).status_code == 405
    assert client.post(address, {"how": "subscribe"}).status_code == 302
    assert "You are notified because you subscribed. Mute" in page(vera)
    client.post(address, {"how": "mute"})
    assert "Muted: you are only notified when something needs you. Unmute" in page(vera)
    approve(asked, remy)
    assert "You are notified because you take part. Mute" in page(remy)
    assert client.post("/requests/999/follow/", {"how": "mute"}).status_code == 404


def test_two_queries_however_many_requests(asked: PromotionRequest, rita: User, django_assert_num_queries: Any) -> None:
    for number in range(4):
        make_request(make_version(f"m{number}"), asked.target, by=rita)
    requests = list(PromotionRequest.objects.with_subject())
    with django_assert_num_queries(2):
        assert len(subscriptions.followers(requests)) == 5
    with django_assert_num_queries(0):
        assert not subscriptions.followers([])
