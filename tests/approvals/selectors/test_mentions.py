"""Whom an @ in a comment means, what comes of it, and how it is shown."""

import re

import pytest
from django.test import Client

from accounts.models import User
from approvals import notifications, workflow
from approvals.models import AuditEvent, Kind, Notification, PromotionRequest, Target
from approvals.selectors import mentions, request_state
from components import markdown
from tests.support.factories import make_person, make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("name", "handle"),
    [
        ("Remy Ortiz", "remy.ortiz"),
        ("José Ortiz-Lind", "jose.ortiz-lind"),
        ("  O'Neil, Ann ", "o.neil.ann"),
        ("李 雷", "李.雷"),
        ("...", ""),
    ],
)
def test_a_handle_follows_from_the_name(name: str, handle: str) -> None:
    assert mentions.handle_of(name) == handle


@pytest.mark.parametrize(
    "text",
    [
        "@remy.ortiz, look.",
        "(@Remy.Ortiz)",
        "Ask @remy.ortiz.",
        "@remy.ortiz @remy.ortiz",
    ],
)
def test_a_name_is_found_in_a_text(remy: User, text: str) -> None:
    assert mentions.people_in(text) == [remy]


@pytest.mark.parametrize(
    "text", ["remy.ortiz", "a@remy.ortiz", "@remy", "@remy.ortiz.lind", "x/@remy.ortiz", "@@remy.ortiz", "no"]
)
def test_what_is_no_name_means_nobody(remy: User, text: str) -> None:
    assert mentions.people_in(text) == []


def test_two_of_one_name_have_their_numbers(remy: User) -> None:
    other = User.objects.create_user(email="other@example.com", password="x", name="Rémy Ortiz")
    assert mentions.people_in("@remy.ortiz") == []
    assert mentions.people_in(f"@remy.ortiz.{other.pk}") == [other]
    other.is_active = False
    other.save()
    assert mentions.people_in("@remy.ortiz") == [remy]


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return make_request(make_version(number=7), production, by=rita)


def told(kind: Kind) -> list[str]:
    notifications.collect()
    rows = Notification.objects.filter(kind=kind, recipient__isnull=False).order_by("recipient__name")
    return list(rows.values_list("recipient__name", flat=True))


def test_who_is_mentioned_is_told_once_and_by_name(asked: PromotionRequest, rita: User, remy: User, vera: User) -> None:
    bot = make_person("Build Bot", is_service_account=True)
    workflow.comment(asked, by=remy, body="@vera.holm @rita.sanz @remy.ortiz @build.bot @nobody.here: why?")
    assert told(Kind.MENTIONED) == ["Rita Sanz", "Vera Holm"]
    assert told(Kind.COMMENTED) == []
    row = Notification.objects.get(kind=Kind.MENTIONED, recipient=vera)
    assert (row.title, row.said[:10]) == ("Remy Ortiz mentioned you: churn_predictor v7 to Production", "@vera.holm")
    event = AuditEvent.objects.order_by("sequence").last()
    assert event.people("mentioned") == {rita.pk, vera.pk}
    assert bot.pk not in event.people("mentioned")


def test_a_comment_without_a_name_says_nothing_of_it(asked: PromotionRequest, remy: User) -> None:
    workflow.comment(asked, by=remy, body="Mail me at remy@example.com.")
    assert "mentioned" not in AuditEvent.objects.order_by("sequence").last().data


def test_the_page_shows_names_and_offers_handles(
    client: Client, asked: PromotionRequest, remy: User, rita: User, vera: User
) -> None:
    workflow.comment(asked, by=remy, body="**@rita.sanz** and @nobody.here, but `@rita.sanz`")
    client.force_login(rita)
    shown = client.get(asked.get_absolute_url()).content.decode()
    assert (
        '<strong><span class="mention">@Rita Sanz</span></strong> and @nobody.here, but <code>@rita.sanz</code>'
        in shown
    )
    assert re.findall(r'data-insert="(@[^"]+)"', shown) == ["@remy.ortiz", "@rosa.lind"]
    client.force_login(vera)  # she takes no part in the discussion
    assert "data-insert" not in client.get(asked.get_absolute_url()).content.decode()


def test_suggestions_begin_with_who_asked_and_leave_oneself_out(asked: PromotionRequest, remy: User) -> None:
    found = mentions.suggested(request_state.of(asked, remy), remy)
    assert [each.handle for each in found] == ["rita.sanz", "rosa.lind"]


def test_a_name_cannot_bring_markup_along() -> None:
    html = markdown.with_mentions(markdown.render("@eve.b and [@eve.b](https://x.example)"), {"eve.b": "<b>Eve"})
    assert html.count("&lt;b&gt;Eve") == 1
    assert ">@eve.b</a>" in html
