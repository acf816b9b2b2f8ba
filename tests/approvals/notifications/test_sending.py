"""What is owed is paid: by mail to a real SMTP server on this machine, which also goes away, refuses and hangs."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import notifications
from approvals.models import Kind, Notification, NotificationState, PromotionRequest, Target
from approvals.notifications import wording
from registry_ui import system
from tests.support.factories import approve, make_request, make_version

pytestmark = pytest.mark.django_db


class Mailbox:
    """Takes mail, unless it is told to answer something else."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}
        self.hangs_up_on = ""
        self.answer = ""

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address == self.hangs_up_on:
            server.transport.abort()
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer:
            return self.answer
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def to(self, person: User) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == person.email]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def post(settings: Settings) -> Iterator[Controller]:
    """A running mail server, and the settings that lead to it."""
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", controller.port, 2
    yield controller
    if controller.server is not None:
        controller.stop()


@pytest.fixture
def box(post: Controller) -> Mailbox:
    assert isinstance(post.handler, Mailbox)
    return post.handler


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    """Waits for two of remy and rosa."""
    return make_request(make_version(number=7), production, by=rita, justification="Better on the <holdout>.")


def subject(mail: EmailMessage) -> str:
    """Without the space with which a long one is folded."""
    return str(mail["Subject"]).strip()


def owe(person: User, number: int, **fields: Any) -> list[Notification]:
    """So many notifications without a request."""
    return [
        Notification.objects.create(
            key=f"test/{person.pk}/{index}/{fields}",
            recipient=person,
            kind=Kind.FINDING,
            title=f"Thing {index}",
            **fields,
        )
        for index in range(number)
    ]


def send() -> int:
    notifications.collect()
    return notifications.send()


def resume() -> None:
    """As if the pause were over."""
    NotificationState.objects.update(mail_paused_until=None)
    Notification.objects.update(due_at=timezone.now() - timedelta(seconds=1))


# --- Arrives


def test_a_mail_says_what_waits_and_where(asked: PromotionRequest, box: Mailbox, remy: User, rosa: User) -> None:
    assert send() == 2
    (mail,) = box.to(remy)
    until = f"{asked.expires_at:%-d %B}"
    assert subject(mail) == f"[Countersign] Review needed: churn_predictor v7 to Production, by {until}"
    address = f"http://127.0.0.1:8000/requests/{asked.pk}/"
    text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    assert (
        "Rita Sanz requested promotion of churn_predictor v7 to Production. It needs 2 approvals from any reviewer. "
        "First promotion to Production: there is no version to compare with. Checks: 1 passed."
    ) in text
    assert "Better on the <holdout>." in text
    assert address in text
    assert f'href="{address}"' in html
    assert "Better on the &lt;holdout&gt;." in html
    assert mail["List-Unsubscribe"] == "<http://127.0.0.1:8000/preferences/notifications/>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert len(box.to(rosa)) == 1
    assert send() == 0
    assert len(box.mails) == 2


def test_what_happens_to_one_request_is_one_thread(
    asked: PromotionRequest, box: Mailbox, rita: User, remy: User, rosa: User
) -> None:
    send()
    approve(asked, remy, rosa)
    send()
    threads = {mail["References"] for mail in box.mails}
    assert threads == {f"<request-{asked.pk}.countersign@127.0.0.1>"}
    assert len({mail["Message-ID"] for mail in box.mails}) == len(box.mails) >= 4
    assert [subject(mail) for mail in box.to(rita)] == ["[Countersign] churn_predictor v7 to Production was approved"]


def test_a_name_cannot_forge_a_header(box: Mailbox, rita: User, remy: User, production: Target) -> None:
    make_request(make_version("evil\r\nBcc: all@example.com\r\n\r\nbody"), production, by=rita)
    send()
    (mail,) = box.to(remy)
    assert mail["Bcc"] is None
    assert "evil Bcc: all@example.com body" in subject(mail)


def test_what_somebody_else_did_meanwhile_is_not_asked_any_more(
    asked: PromotionRequest, box: Mailbox, remy: User, rosa: User, rita: User
) -> None:
    notifications.collect()
    approve(asked, remy, rosa)
    send()
    assert [subject(mail) for mail in box.mails if "Review needed" in subject(mail)] == []
    assert len(box.to(rita)) == 1
    assert Notification.objects.filter(kind=Kind.WAITS, last_error="It was done before it was sent.").count() == 2


# --- The server


def test_a_server_that_is_away_loses_and_doubles_nothing(asked: PromotionRequest, post: Controller, remy: User) -> None:
    post.stop()
    assert send() == 0
    state = NotificationState.objects.get()
    assert state.mail_failures == 1
    assert state.mail_failing_since is not None
    assert "refused" in state.mail_error
    assert send() == 0  # it is left alone for a while
    assert NotificationState.objects.get().mail_failures == 1
    again = Controller(Mailbox(), hostname="127.0.0.1", port=post.port)
    again.start()
    try:
        resume()
        assert send() == 2
        assert send() == 0
        assert isinstance(again.handler, Mailbox)
        assert len(again.handler.to(remy)) == 1
    finally:
        again.stop()
    assert NotificationState.objects.get().mail_failing_since is None


def test_the_pause_grows_up_to_a_quarter_of_an_hour(asked: PromotionRequest, post: Controller) -> None:
    post.stop()
    pauses = []
    for _ in range(9):
        resume()
        before = timezone.now()
        send()
        until = NotificationState.objects.get().mail_paused_until
        assert until is not None
        pauses.append(round((until - before).total_seconds()))
    assert pauses[:3] == [15, 30, 60]
    assert pauses[-1] == 900


def test_a_server_that_hangs_is_given_up_after_the_time_limit(
    asked: PromotionRequest, settings: Settings, remy: User
) -> None:
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", silent.getsockname()[1], 1
        started = time.monotonic()
        assert send() == 0
        assert time.monotonic() - started < 5
    assert "timed out" in NotificationState.objects.get().mail_error
    assert Notification.objects.open().count() == 2


def test_one_refused_address_keeps_no_mail_from_the_others(
    asked: PromotionRequest, box: Mailbox, remy: User, rosa: User
) -> None:
    box.refused[remy.email] = "550 No such mailbox"
    assert send() == 1
    assert len(box.to(rosa)) == 1
    row = Notification.objects.get(recipient=remy)
    assert row.is_undelivered
    assert row.last_error == "550 No such mailbox"
    assert NotificationState.objects.get().mail_failing_since is None


def test_a_mail_that_makes_the_server_hang_up_keeps_none_from_the_others(box: Mailbox, remy: User, rosa: User) -> None:
    owe(remy, 1)
    owe(rosa, 1)
    box.hangs_up_on = remy.email
    assert send() == 0
    row = Notification.objects.get(recipient=remy)
    assert row.attempts == 1
    assert row.due_at > timezone.now() + timedelta(seconds=50)
    resume()  # even when both are due at once
    assert send() == 1
    assert len(box.to(rosa)) == 1
    Notification.objects.update(created_at=timezone.now() - timedelta(days=4))
    resume()
    send()
    assert not Notification.objects.get(recipient=remy).is_undelivered  # it may as well be the server
    box.hangs_up_on = ""
    resume()
    assert send() == 1
    assert len(box.to(remy)) == 1


def test_a_mailbox_that_is_full_now_is_tried_again(asked: PromotionRequest, box: Mailbox, remy: User) -> None:
    box.refused[remy.email] = "452 Mailbox full"
    send()
    row = Notification.objects.get(recipient=remy)
    assert row.dropped_at is None
    assert row.due_at > timezone.now() + timedelta(seconds=50)
    box.refused.clear()
    resume()
    assert send() == 1
    assert len(box.to(remy)) == 1


def test_after_three_days_it_is_given_up(asked: PromotionRequest, box: Mailbox, remy: User) -> None:
    box.answer = "451 Try later"
    notifications.collect()
    Notification.objects.update(created_at=timezone.now() - timedelta(days=3, minutes=1))
    assert send() == 0
    assert Notification.objects.get(recipient=remy).is_undelivered


# --- Workers


def test_what_a_killed_worker_held_is_sent_when_its_lease_is_over(
    asked: PromotionRequest, box: Mailbox, remy: User
) -> None:
    notifications.collect()
    Notification.objects.all().claim(by="a worker that is killed now")
    assert send() == 0
    Notification.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert send() == 2
    assert len(box.to(remy)) == 1


# --- Many


def test_more_than_a_few_at_once_become_one_mail(box: Mailbox, remy: User) -> None:
    owe(remy, 6)
    assert send() == 6
    (mail,) = box.to(remy)
    assert subject(mail) == "[Countersign] 6 updates"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert [f"Thing {index}" in text for index in range(6)] == [True] * 6


def test_who_has_had_a_few_gets_the_rest_in_one_later(box: Mailbox, remy: User, rosa: User) -> None:
    owe(remy, 5)
    assert send() == 5
    assert len(box.to(remy)) == 5
    owe(remy, 3, text="later")
    owe(rosa, 1)
    assert send() == 1  # others are not held up
    waiting = Notification.objects.open()
    assert {row.recipient for row in waiting} == {remy}
    assert all(row.due_at > timezone.now() + timedelta(minutes=9) for row in waiting)
    Notification.objects.exclude(sent_at=None).update(sent_at=timezone.now() - timedelta(minutes=11))
    waiting.update(due_at=timezone.now())
    assert send() == 3


def test_what_asks_for_something_comes_first_and_never_with_news(
    box: Mailbox, rita: User, remy: User, production: Target
) -> None:
    owe(remy, 6)
    for number in range(11):
        make_request(make_version(f"model_{number}"), production, by=rita)
    send()
    assert [subject(mail) for mail in box.to(remy)] == [
        "[Countersign] 11 reviews are waiting",
        "[Countersign] 6 updates",
    ]


def test_a_digest_parts_reviews_from_news(asked: PromotionRequest, box: Mailbox, remy: User) -> None:
    notifications.collect()
    Notification.objects.update(is_digest=True)
    Notification.objects.create(
        key="reminder", recipient=remy, kind=Kind.REMINDER, title="Still", request=asked, is_digest=True
    )
    owe(remy, 2, is_digest=True)
    send()
    assert [subject(mail) for mail in box.to(remy)] == [
        "[Countersign] 1 review is waiting",
        "[Countersign] Daily summary: 2 updates",
    ]


def test_a_digest_is_one_mail(box: Mailbox, remy: User) -> None:
    owe(remy, 3, is_digest=True)
    owe(remy, 1, text="now")
    assert send() == 4
    assert sorted(subject(mail) for mail in box.to(remy)) == [
        "[Countersign] Daily summary: 3 updates",
        "[Countersign] Thing 0",
    ]


def test_a_long_digest_says_how_many_it_leaves_out(box: Mailbox, remy: User) -> None:
    owe(remy, 60, is_digest=True)
    send()
    text = box.to(remy)[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "… and 10 more" in text


def test_a_title_is_one_line_of_bounded_length() -> None:
    assert wording.one_line("a\r\nb\x00c" + "x" * 1000).startswith("a b c")
    assert len(wording.one_line("x" * 1000)) == wording.LONGEST_TITLE


# --- The System page


def test_the_system_page_says_what_waits_and_why(asked: PromotionRequest, post: Controller) -> None:
    def part() -> tuple[str, str]:
        found = next(each for each in system.parts() if each.name == "Notifications")
        return found.word, found.detail + found.error

    assert part() == ("On time", "All notifications are sent.")
    post.stop()
    send()
    word, detail = part()
    assert word == "Mail waits"
    assert detail.startswith("2 notifications wait; ")
    assert "refused" in detail
    NotificationState.objects.update(mail_failing_since=None)
    Notification.objects.update(due_at=timezone.now() - timedelta(minutes=5))
    assert part()[0] == "Delayed"
    Notification.objects.all().drop("550 No such mailbox", is_undelivered=True)
    assert part() == ("Refused", "2 in the last 7 days were refused permanently.")


# --- Rows that are not as they should be


def test_who_was_deactivated_meanwhile_is_told_nothing(
    asked: PromotionRequest, box: Mailbox, remy: User, rosa: User
) -> None:
    notifications.collect()
    User.objects.filter(pk=remy.pk).update(is_active=False)
    assert send() == 1
    assert box.to(remy) == []
    assert "deactivated" in Notification.objects.get(recipient=remy).last_error


def test_who_lost_every_role_meanwhile_is_told_nothing(
    asked: PromotionRequest, box: Mailbox, remy: User, rosa: User
) -> None:
    notifications.collect()
    remy.groups.clear()
    assert send() == 1
    assert box.to(remy) == []
    assert "lost every role" in Notification.objects.get(recipient=remy).last_error


def test_one_broken_request_holds_up_no_mail(asked: PromotionRequest, box: Mailbox, rosa: User) -> None:
    notifications.collect()
    PromotionRequest.objects.filter(pk=asked.pk).update(rule={"slots": "nonsense"})
    owe(rosa, 1)
    assert send() == 3
    assert len(box.to(rosa)) == 2
