"""What a mail tells a reviewer before they open the request."""

from datetime import UTC, datetime

import pytest

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.notifications import briefing, wording
from approvals.selectors import request_state
from tests.support.factories import make_policy, make_request, make_version
from tests.support.world import hold

pytestmark = pytest.mark.django_db


def test_it_tells_what_is_missing_and_how_metrics_and_checks_stand(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    make_policy("*", production, (1, "risk"))
    hold(make_version(metrics={"auc_roc": 0.9, "log_loss": 0.2}), production)
    request = make_request(make_version(metrics={"auc_roc": 0.95, "log_loss": 0.3}), production, by=rita)
    assert briefing.of(request_state.of(request)) == (
        "It needs 1 approval from risk. Metrics against version 1: 1 better, 1 worse. Checks: 1 passed."
    )


@pytest.mark.parametrize(
    ("created_at", "expires_at", "words"),
    [
        (datetime(2026, 11, 26, tzinfo=UTC), datetime(2026, 12, 10, 23, 59, tzinfo=UTC), ", by 10 December"),
        (datetime(2026, 12, 26, tzinfo=UTC), datetime(2027, 1, 9, tzinfo=UTC), ", by 9 January 2027"),
    ],
)
def test_a_deadline_is_a_day(created_at: datetime, expires_at: datetime, words: str) -> None:
    assert wording.by_when(PromotionRequest(created_at=created_at, expires_at=expires_at)) == words
