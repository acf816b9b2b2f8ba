"""Each action is declared once: pages, filters, notifications, audit and exports know it from there."""

import ast
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from accounts.models import User
from approvals import ledger
from approvals.audit import replay
from approvals.forms import history_filters
from approvals.models import Action, AuditEvent, Target
from approvals.models.event_types import KINDS, EventType, Facts
from approvals.notifications import rules
from approvals.notifications.told import RULES
from approvals.selectors import history, request_timeline
from tests.support.factories import make_request, make_version

PACKAGES = ("accounts", "mirror", "components", "approvals", "registry_ui")
SOURCES = [path for package in PACKAGES for path in (Path(settings.BASE_DIR) / package).rglob("*.py")]
OF_THEIR_OWN = {
    "approvals/audit/access.py": "what each event says of roles before and after",
    "approvals/audit/population.py": "which events tell of which change of a tenure",
    "approvals/audit/replay.py": "what each event does to the state that is replayed",
}
"""Where something else than the declaration differs from action to action."""


@pytest.fixture
def everything(vera: User) -> list[AuditEvent]:
    """One event of each action, as bare as can be."""
    with transaction.atomic():
        return [
            ledger.record(action, actor=vera, model_name="churn_predictor", version_number=7, target_name="Production")
            for action in Action
        ]


def test_a_sentence_is_a_text_that_is_filled_or_a_function() -> None:
    facts = Facts({"subject": "churn_predictor", "person": "{subject}"})
    assert EventType("person.lost", "Lost", "user", "lost {person} and {what}").happened(facts) == "lost {subject} and "
    assert EventType("person.lost", "Lost", "user", lambda facts: facts["subject"]).happened(facts) == "churn_predictor"


@pytest.mark.parametrize("action", list(Action))
def test_an_action_is_what_is_stored_and_carries_its_declaration(action: Action) -> None:
    assert Action(str(action)) is action
    assert (action.value, action.label) == (action.type.name, action.type.label)
    assert (str(action), action.label) in Action.choices
    assert action.kind in KINDS


def test_no_two_actions_have_the_same_label() -> None:
    assert len(set(Action.labels)) == len(Action)


@pytest.mark.parametrize("action", list(Action))
def test_every_action_can_be_filtered_by_alone_and_with_its_kind(action: Action) -> None:
    groups = dict(history_filters._actions())
    choices = dict(groups[KINDS[action.kind]])
    assert choices[str(action)] == action.label
    alone = [each for each in Action if each.kind == action.kind] == [action]
    assert alone or action.kind in choices


@pytest.mark.django_db
def test_the_history_and_the_time_line_show_every_action(client: Client, vera: User, everything: Any) -> None:
    client.force_login(vera)
    pages = [client.get("/history/"), client.get(f"/history/?before={everything[-history.PAGE_SIZE].sequence}")]
    rows = {row.event.action: row for page in pages for row in page.context["rows"]}
    lines = {entry.event.action: entry for entry in request_timeline.entries(everything)}
    assert set(rows) == set(lines) == set(Action)
    for action in Action:
        assert rows[action].icon == lines[action].icon == action.type.icon
        assert rows[action].sentence == lines[action].sentence
        assert lines[action].tone == action.type.tone


@pytest.mark.django_db
def test_the_page_of_an_event_names_every_action(client: Client, vera: User, everything: list[AuditEvent]) -> None:
    client.force_login(vera)
    for event in everything:
        page = client.get(event.get_absolute_url())
        assert Action(event.action).label in page.content.decode().replace("&#x27;", "'")


@pytest.mark.django_db
def test_both_exports_carry_every_action(everything: list[AuditEvent]) -> None:
    rows = list(csv.DictReader(history.csv_lines(AuditEvent.objects.all())))
    lines = [json.loads(line) for line in history.json_lines(AuditEvent.objects.all())]
    assert [row["action"] for row in rows] == [line["action"] for line in lines] == list(Action)


def test_the_replay_of_roles_and_policies_knows_what_each_of_their_actions_does() -> None:
    assert set(replay._STEPS) == set(replay.TOLD)
    assert set(replay.TOLD) == {action for action in Action if action.kind in ("person", "group", "target", "policy")}


def test_every_action_has_a_rule_of_notifications_or_is_declared_to_be_told_nobody() -> None:
    files = (Path(settings.BASE_DIR) / "approvals/notifications/rules").glob("*.py")
    defined = [node for path in files for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    decorators = [each for function in defined for each in function.decorator_list]
    registered = [node.attr for each in decorators for node in ast.walk(each) if _is_action(node)]
    assert sorted(registered) == sorted(action.name for action in RULES), "an action has two rules"
    assert set(RULES) == {action for action in Action if action.type.is_told}


@pytest.mark.django_db
def test_a_bare_event_of_every_action_is_understood_by_its_rule(
    everything: list[AuditEvent], rita: User, production: Target
) -> None:
    request = make_request(make_version("churn_predictor", 7), production, by=rita)
    for event in everything:
        event.request = request
        told = rules.of(event)
        assert all(each.event is event for each in told)
        assert not told or Action(event.action).type.is_told


def test_nothing_else_says_anything_action_by_action() -> None:
    """Tables and case distinctions over actions elsewhere would be a second place to add one to."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict) and sum(map(_is_action, node.keys)) > 1:
                found.add(str(path.relative_to(settings.BASE_DIR)))
            if isinstance(node, ast.Match) and sum(_is_action(each) for each in ast.walk(node)) > 3:
                found.add(str(path.relative_to(settings.BASE_DIR)))
    assert found == set(OF_THEIR_OWN)


def _is_action(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Action"
