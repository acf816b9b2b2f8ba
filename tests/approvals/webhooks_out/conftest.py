"""A receiver, and a webhook to it that is sent everything."""

from collections.abc import Iterator
from typing import Any

import pytest

from approvals.models import Webhook
from tests.support.factories import make_webhook
from tests.support.receiver import Receiver, receiving, secret_of


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def webhook(db: None, receiver: Receiver, settings: Any) -> Webhook:
    settings.WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    made = make_webhook("CI", url=receiver.url)
    secret = secret_of(made)
    receiver.secret = lambda: secret
    return made
