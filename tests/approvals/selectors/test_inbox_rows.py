"""What a row of the inbox says of its request, by kind and by how far it has come."""

from datetime import UTC, datetime
from typing import Any

import pytest

from approvals.evidence.comparison import Tally
from approvals.models import PromotionRequest, RequestKind, Status
from approvals.selectors import inbox_rows

pytestmark = pytest.mark.nodb
LONG_AGO, NEVER = datetime(2020, 1, 2, 3, 4, tzinfo=UTC), datetime(9000, 1, 2, 3, 4, tzinfo=UTC)


def row(
    kind: RequestKind = RequestKind.PROMOTION, asked: dict[str, Any] | None = None, **fields: Any
) -> inbox_rows.Row:
    request = PromotionRequest(kind=kind, **({"status": Status.PENDING, "waits_for": "|risk|*|"} | (asked or {})))
    given: dict[str, Any] = {
        "given": 1,
        "needed": 2,
        "own_verdict": "",
        "is_near_expiry": False,
        "checks": inbox_rows.Checked(),
        "headline": None,
        "tally": Tally(),
        "probation_until": None,
        "tells_missing": True,
        "slot": "",
    }
    return inbox_rows.Row(request, **(given | fields))


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        (row(), ["1 of 2 approvals", "waits for risk and any reviewer"]),
        (row(needed=1, tells_missing=False), ["1 of 1 approval"]),
        (row(slot="risk"), ["1 of 2 approvals", "your slot: risk"]),
        (
            row(
                asked={"status": Status.CHECKING, "waits_for": ""},
                own_verdict="Approve",
                checks=inbox_rows.Checked(2, 0, 2),
            ),
            ["1 of 2 approvals", "blocked by 2 checks", "you: approve"],
        ),
        (
            row(RequestKind.ROLLBACK, {"status": Status.CHECKING}, given=0, checks=inbox_rows.Checked(1, 0, 1)),
            ["0 of 2 approvals", "blocked by 1 check"],
        ),
        (
            row(RequestKind.ROLLBACK, {"status": Status.APPLIED, "decided_at": LONG_AGO}, given=0),
            ["needed no approval"],
        ),
        (
            row(RequestKind.BREAK_GLASS, {"status": Status.APPLIED, "afterwards_due_at": NEVER}),
            ["without approvals"],
        ),
        (
            row(RequestKind.BREAK_GLASS, {"status": Status.APPLIED, "afterwards_at": LONG_AGO}),
            ["without approvals"],
        ),
    ],
)
def test_a_row_says_how_far_it_is(found: inbox_rows.Row, facts: list[str]) -> None:
    assert [found.progress, *found.facts] == facts


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"afterwards_due_at": LONG_AGO}, "Emergency promotion: review overdue"),
        ({"afterwards_due_at": NEVER}, "Emergency promotion: not reviewed"),
        ({"afterwards_due_at": LONG_AGO, "afterwards_at": LONG_AGO}, "Emergency promotion"),
    ],
)
def test_a_broken_glass_says_how_its_review_stands(asked: dict[str, Any], words: str) -> None:
    assert row(RequestKind.BREAK_GLASS, asked).glass == words
