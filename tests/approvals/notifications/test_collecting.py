"""Several workers read the ledger at the same moment: real threads on a database with real commits."""

import pytest
from django.core import mail
from pytest_django import Settings

from approvals import notifications, workflow
from approvals.models import ChainHead, Kind, Notification, NotificationState, Target
from tests.approvals.workflow.test_concurrency import people
from tests.support.factories import make_person, make_request, make_version
from tests.support.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def test_workers_at_once_neither_lose_nor_double() -> None:
    rita, _, _ = people()
    notifications.collect()
    request = make_request(make_version(), Target.objects.get(name="Production"), by=rita)
    for number in range(120):
        workflow.comment(request, by=rita, body=f"Comment {number}.")
    results = at_once(*[notifications.collect] * 4)
    assert all(isinstance(result, int) for result in results)
    notifications.collect()
    head = ChainHead.objects.get().sequence
    assert NotificationState.objects.get().sequence == head
    keys = list(Notification.objects.values_list("key", flat=True))
    assert len(keys) == len(set(keys)) == 2  # remy and rosa are asked; nobody else took part in the discussion


def test_workers_at_once_send_nothing_twice(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    reviewers = [make_person(f"P{number} Many", "reviewer") for number in range(12)]
    for person in reviewers:
        for number in range(2):
            key = f"test/{person.pk}/{number}"
            Notification.objects.create(key=key, recipient=person, kind=Kind.FINDING, title=f"Thing {number}")
    mail.outbox = []
    results = at_once(*[notifications.send] * 4)
    assert all(isinstance(result, int) for result in results)
    notifications.send()
    assert sorted(sent.to[0] for sent in mail.outbox) == sorted(2 * [person.email for person in reviewers])
