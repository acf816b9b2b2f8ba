"""The one time line of a request, and that every action of the closed list has a sentence and an icon."""

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, Target
from approvals.selectors import request_timeline
from tests.support.factories import approve, make_request, make_version

ICONS = set(re.findall(r'id="([a-z0-9-]+)"', (Path(settings.BASE_DIR) / "components/static/icons.svg").read_text()))


def event(action: Action, **data: object) -> AuditEvent:
    return AuditEvent(
        sequence=1,
        at=timezone.now(),
        action=action,
        stored_actor="Remy Ortiz <remy@example.com>",
        model_name="churn_predictor",
        version_number=7,
        target_name="Production",
        correlation_id=uuid4(),
        payload=json.dumps(data),
    )


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_a_sentence_and_an_icon_of_the_sprite(action: Action) -> None:
    (entry,) = request_timeline.entries([event(action)])
    assert re.fullmatch(r"[a-z].*[^.]", entry.sentence)
    assert entry.icon in ICONS
    assert entry.tone in ("", "good", "bad", "waiting")
    assert entry.name == "Remy Ortiz"


def test_a_page_about_one_request_does_not_name_the_model_again() -> None:
    approved = event(Action.REVIEW_APPROVED)
    assert sentences.sentence(approved) == "approved churn_predictor version 7 for Production"
    assert sentences.sentence(approved, is_subject_known=True) == "approved version 7 for Production"


@pytest.mark.parametrize(
    ("action", "key"),
    [
        (Action.REQUEST_COMMENTED, "comment"),
        (Action.REQUEST_CREATED, "justification"),
        (Action.DELIVERY_FAILED, "reason"),
    ],
)
def test_what_was_said_stands_with_the_event(action: Action, key: str) -> None:
    assert sentences.said(event(action, **{key: "Look at segment B."})) == "Look at segment B."
    assert sentences.said(event(action)) == ""


def test_what_changed_before_a_resubmission_is_named() -> None:
    words = sentences.sentence(event(Action.REQUEST_RESUBMITTED, changed=["metric auc_roc", "description"]))
    assert words == "submitted the request again; changed since: metric auc_roc, description"


@pytest.mark.django_db
def test_discussion_and_events_are_one_line_oldest_first(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version(), production, by=rita, justification="Better.")
    workflow.comment(request, by=rosa, body="Why?")
    approve(request, remy)
    entries, has_earlier = request_timeline.of(request)
    assert [(entry.name, entry.said) for entry in entries] == [
        ("Rita Sanz", "Better."),
        ("Countersign worker", ""),
        ("Rosa Lind", "Why?"),
        ("Remy Ortiz", ""),
    ]
    assert not has_earlier


@pytest.mark.django_db
def test_only_the_newest_are_read_in_one_query(rita: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    for number in range(6):
        workflow.comment(request, by=rita, body=f"Comment {number}")
    with CaptureQueriesContext(connection) as queries:
        entries, has_earlier = request_timeline.of(request, newest=3)
    assert [entry.said for entry in entries] == ["Comment 3", "Comment 4", "Comment 5"]
    assert has_earlier
    assert len(queries) == 1
