"""Chat: one message through Apprise to a real HTTP server on this machine, which also fails and hangs."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import notifications
from approvals.models import Kind, Notification, Target
from approvals.notifications import chat, mailing
from registry_ui import settings as product
from tests.support.factories import make_request, make_version

pytestmark = pytest.mark.django_db


class Room:
    """A chat's webhook."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.status, self.seconds = 200, 0.0
        room = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(room.seconds)
                if room.status == 200:
                    room.said.append(json.loads(body))
                self.send_response(room.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/secret-token?cto=1&rto=1"


@pytest.fixture
def room(settings: Settings) -> Iterator[Room]:
    room = Room()
    settings.CHAT_URLS = [room.url]
    yield room
    room.server.shutdown()
    room.server.server_close()


def send() -> int:
    notifications.collect()
    return notifications.send()


def test_a_chat_is_told_what_waits(room: Room, rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version(number=7), production, by=rita)
    assert send() == 2  # the chat and remy
    (said,) = room.said
    address = f"http://127.0.0.1:8000/requests/{request.pk}/"
    assert said["message"] == f"churn_predictor v7 to Production needs 2 approvals from any reviewer: {address}"
    assert send() == 0


def test_a_name_calls_nobody(room: Room, rita: User, remy: User, production: Target) -> None:
    make_request(make_version("@here <!channel>"), production, by=rita)
    send()
    assert "@here" not in room.said[0]["message"]
    assert "<!" not in room.said[0]["message"]


def test_a_chat_that_fails_is_tried_again_and_mails_go_on(
    room: Room, rita: User, remy: User, production: Target
) -> None:
    room.status = 500
    make_request(make_version(number=7), production, by=rita)
    assert send() == 1  # remy's mail
    row = Notification.objects.get(recipient=None)
    assert row.due_at > timezone.now()
    assert "secret" not in row.last_error
    room.status = 200
    Notification.objects.update(due_at=timezone.now())
    assert send() == 1
    assert len(room.said) == 1


def test_what_is_wrong_with_mail_keeps_nothing_from_chats(
    room: Room, rita: User, remy: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_now: object, _claim: object) -> int:
        raise RuntimeError("A template is broken.")

    monkeypatch.setattr(mailing, "send_due", broken)
    make_request(make_version(number=7), production, by=rita)
    assert send() == 1
    assert len(room.said) == 1


def test_a_chat_that_hangs_is_given_up_after_a_moment(room: Room, rita: User, production: Target) -> None:
    room.seconds = 5
    make_request(make_version(number=7), production, by=rita)
    started = time.monotonic()
    assert send() == 0
    assert time.monotonic() - started < 4


def test_many_at_once_are_one_message(room: Room) -> None:
    (name,) = chat.addresses()
    for index in range(30):
        Notification.objects.create(key=f"test/{index}", chat=name, kind=Kind.DELIVERED, title=f"Thing {index}")
    assert send() == 30
    (said,) = room.said
    assert said["message"].count("\n") == 20
    assert "… and 10 more" in said["message"]


def test_a_chat_that_is_not_configured_any_more_is_told_nothing(room: Room) -> None:
    Notification.objects.create(key="test", chat="gone", kind=Kind.DELIVERED, title="Thing")
    assert send() == 0
    assert Notification.objects.get().last_error == "This chat is not configured any more."


def test_every_kind_can_be_chosen_and_the_default_is_some_of_them(settings: Settings) -> None:
    settings.CHAT_KINDS = list(Kind.values)
    assert chat.kinds() == set(Kind)
    assert set(product.CHAT_KINDS) < set(Kind.values)
