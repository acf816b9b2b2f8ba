"""A receiver of webhooks on loopback, which verifies as `standardwebhooks` does and keeps what it took."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks.webhooks import Webhook as Standard

from approvals.models import Webhook
from approvals.selectors import webhooks
from mirror import clock
from tests.support.ci_service import Behaviour, Service, says

OK = says(200, b"ok")


class Receiver(Service):
    """Does with each call what is next in `script`, and says 200 when that is over. `taken` are the messages that it
    answered with 2xx, by their ids."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Behaviour] = []
        self.secret: Callable[[], str] = str
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.behave = self._next

    def _next(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = self.calls[-1][0]
        told = Standard(self.secret()).verify(body.decode(), headers)  # raises: then nothing is answered
        assert json.loads(body) == told
        if self.script:
            self.script.pop(0)(handler, body)
            return
        self.taken.append((headers["webhook-id"], told))
        OK(handler, body)

    @property
    def types(self) -> list[str]:
        return [told["type"] for _, told in self.taken]

    @property
    def ids(self) -> list[str]:
        """Of all calls, taken or not."""
        return [headers["webhook-id"] for headers, _ in self.calls]


def secret_of(webhook: Webhook) -> str:
    """The newest."""
    return webhooks.secrets_of(Webhook.objects.get(pk=webhook.pk), clock.now())[0]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
