"""What a row of the inbox says of its request, by kind and by how far it has come."""

from datetime import UTC, datetime
from typing import Any

import pytest

from approvals.evidence.comparison import Tally
from approvals.models import PromotionRequest, RequestKind, Status
from approvals.selectors import inbox

pytestmark = pytest.mark.nodb
LONG_AGO, NEVER = datetime(2020, 1, 2, 3, 4, tzinfo=UTC), datetime(9000, 1, 2, 3, 4, tzinfo=UTC)


def row(kind: RequestKind = RequestKind.PROMOTION, asked: dict[str, Any] | None = None, **fields: Any) -> inbox.Row:
    request = PromotionRequest(kind=kind, **({"status": Status.PENDING, "waits_for": "|risk|*|"} | (asked or {})))
    given: dict[str, Any] = {
        "given": 1,
        "needed": 2,
        "own_verdict": "",
        "is_near_expiry": False,
        "blocked_by": 0,
        "headline": None,
        "tally": Tally(),
        "probation_until": None,
        "tells_missing": True,
    }
    return inbox.Row(request, **(given | fields))


@pytest.mark.parametrize(
    ("found", "verb", "facts"),
    [
        (row(), "asked", ["1 of 2 approvals", "waits for risk and any reviewer"]),
        (row(needed=1, tells_missing=False), "asked", ["1 of 1 approval"]),
        (
            row(own_verdict="Approve", blocked_by=2),
            "asked",
            ["blocked by 2 checks", "1 of 2 approvals", "you: approve"],
        ),
        (
            row(RequestKind.ROLLBACK, {"status": Status.CHECKING}, given=0, blocked_by=1),
            "asked to roll back",
            ["blocked by 1 check", "0 of 2 approvals"],
        ),
        (
            row(RequestKind.ROLLBACK, {"status": Status.APPLIED, "decided_at": LONG_AGO}, given=0),
            "rolled back",
            ["needed no approval"],
        ),
        (
            row(RequestKind.BREAK_GLASS, {"status": Status.APPLIED, "afterwards_due_at": NEVER}),
            "broke the glass",
            ["without approvals", "to be reviewed by 9000-01-02 03:04 UTC"],
        ),
        (
            row(RequestKind.BREAK_GLASS, {"status": Status.APPLIED, "afterwards_at": LONG_AGO}),
            "broke the glass",
            ["without approvals"],
        ),
    ],
)
def test_a_row_says_what_was_done_and_how_far_it_is(found: inbox.Row, verb: str, facts: list[str]) -> None:
    assert (found.verb, found.facts) == (verb, facts)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"afterwards_due_at": LONG_AGO}, "Break-glass: review overdue"),
        ({"afterwards_due_at": NEVER}, "Break-glass: not reviewed"),
        ({"afterwards_due_at": LONG_AGO, "afterwards_at": LONG_AGO}, "Break-glass"),
    ],
)
def test_a_broken_glass_says_how_its_review_stands(asked: dict[str, Any], words: str) -> None:
    assert row(RequestKind.BREAK_GLASS, asked).glass == words
