"""Several workers read the ledger at the same moment: real threads on a database with real commits."""

import pytest

from approvals import notifications, workflow
from approvals.models import ChainHead, Notification, NotificationState, Target
from tests.approvals.test_concurrency import at_once, people
from tests.factories import make_request, make_version

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
