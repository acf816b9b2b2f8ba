"""The whole room. No verb can be reached by the API that the page refuses: each refusal of the policy, in a situation
that brings it about, is told by the API in the page's words, and done by neither.

A refusal that is added to the policy needs a row here; so does a verb that the API begins to call.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals import policy, workflow
from approvals.models import AuditEvent, OutboxEntry, PromotionRequest, Status, Target
from approvals.policy import BreakGlassRule, CheckRule, actions
from approvals.selectors import request_state
from approvals.watch import incidents
from mirror.models import ModelVersion
from tests.support import world
from tests.support.api import Answer, Machine
from tests.support.ci_service import CI, result_of
from tests.support.factories import (
    approve,
    check,
    make_incident,
    make_inspection,
    make_person,
    make_policy,
    make_request,
    make_service_account,
    make_version,
)
from tests.support.pages import text_of
from tests.support.refusals import ROOT, Place, places

pytestmark = pytest.mark.django_db
LONG_REASON = "The model in Production scores every customer as lost."


class Company:
    """Who there is, and a request to look at."""

    def __init__(self) -> None:
        self.rita = make_person("Rita Sanz", "requester")
        self.nora = make_person("Nora Berg", "requester")
        self.remy = make_person("Remy Ortiz", "reviewer")
        self.rosa = make_person("Rosa Lind", "reviewer")
        self.vera = make_person("Vera Holm", "auditor")
        self.ada = make_person("Ada Brandt", "administrator")
        self.staging = Target.objects.get(name="Staging")

    def ask(self, *slots: tuple[Any, ...], is_checked: bool = True, by: User | None = None, **terms: Any) -> Any:
        make_policy("*", self.staging, *slots or [(1, None)], **terms)
        version = make_version(tags={"owner": "remy@example.com"})
        return make_request(version, self.staging, by=by or self.rita, is_checked=is_checked)

    def withdrawn(self) -> PromotionRequest:
        asked = self.ask()
        workflow.withdraw(asked, by=self.rita)
        return asked

    def blocked(self) -> PromotionRequest:
        asked = self.ask(is_checked=False)
        make_inspection(asked.version)
        workflow.conclude(asked, problem="The files cannot be read.")
        return asked

    def half(self) -> PromotionRequest:
        asked = approve(self.ask(), self.remy)
        entries = OutboxEntry.objects.filter(request=asked)
        entries.update(half={"since": timezone.now().isoformat()}, waiting_since=timezone.now())
        return asked

    def failed(self, asked: PromotionRequest) -> PromotionRequest:
        PromotionRequest.objects.filter(pk=asked.pk).move(Status.FAILED, status_reason="MLflow refused: locked.")
        OutboxEntry.objects.filter(request=asked).update(closed_at=timezone.now(), outcome="failed")
        return asked

    def of_a_bot_without_owner(self) -> PromotionRequest:
        bot = make_service_account("train-bot", owner=self.rosa)
        asked = self.ask(by=bot)
        PromotionRequest.objects.update(owner=None)
        User.objects.filter(pk=bot.pk).update(owner=None)
        return asked

    def emergency(self) -> PromotionRequest:
        make_policy("*", self.staging, (1, None), break_glass=BreakGlassRule(is_allowed=True))
        otto = make_person("Otto Reyes", "responder", "requester")
        version = make_version()
        return workflow.break_glass(version, self.staging, by=otto, reason=LONG_REASON, proof=world.proof())

    def give(self, person: User, role: str) -> User:
        person.groups.add(make_person(f"Copy {role}", role).groups.get())
        return User.objects.get(pk=person.pk)


@pytest.fixture
def company() -> Company:
    return Company()


def changed(asked: PromotionRequest, **facts: Any) -> PromotionRequest:
    ModelVersion.objects.filter(pk=asked.version_id).update(**facts)
    return asked


def overdue(asked: PromotionRequest) -> PromotionRequest:
    PromotionRequest.objects.filter(pk=asked.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    return asked


def reviewed(asked: PromotionRequest, by: User, verdict: str) -> PromotionRequest:
    workflow.review(asked, by=by, verdict=verdict, comment="Add the card.")
    return asked


# --- What is open on a request ----------------------------------------------------------------------------------------

Situation = Callable[[Company], tuple[PromotionRequest, User]]


@dataclass(frozen=True)
class Row:
    """One refusal of `policy.available_actions`."""

    function: str
    code: str
    action: str
    make: Situation
    """The request, and who tries."""

    status: int = 403
    says: str = field(default="")
    """The code where the action is tried, if something else refuses it first or in other words."""

    @property
    def place(self) -> Place:
        return Place(self.function, self.code)


def bot(c: Company) -> User:
    return make_service_account("review-bot", owner=c.remy)


ACTIONS = [
    *(
        row
        for verdict in ("approve", "reject", "request_changes")
        for row in (
            Row("_may_decide", "checks_failed", verdict, lambda c: (c.blocked(), c.remy)),
            Row("_may_decide", "checks_running", verdict, lambda c: (c.ask(is_checked=False), c.remy)),
            Row("_may_decide", "not_pending", verdict, lambda c: (c.withdrawn(), c.remy)),
            Row("_may_decide", "expired", verdict, lambda c: (overdue(c.ask()), c.remy)),
            Row("_may_decide", "self_approval", verdict, lambda c: (c.ask(), c.give(c.rita, "reviewer"))),
            Row("_may_decide", "service_account", verdict, lambda c: (c.ask(), bot(c)), says="persons_only"),
            Row("_may_decide", "role_required", verdict, lambda c: (c.ask(), c.nora)),
            Row("_may_decide", "contributor", verdict, lambda c: (c.ask(**BY_TAG), c.remy)),
            Row("_may_decide", "already_decided", verdict, lambda c: (approve(c.ask((2, None)), c.remy), c.remy)),
        )
    ),
    Row("_may_approve", "owner_missing", "approve", lambda c: (c.of_a_bot_without_owner(), c.remy)),
    Row("_may_approve", "version_gone", "approve", lambda c: (changed(c.ask(), deleted_at=timezone.now()), c.remy)),
    Row("_may_approve", "would_vacate", "approve", lambda c: (changed(c.ask(), stage="Production"), c.remy)),
    Row(
        "_may_approve",
        "evidence_changed",
        "approve",
        lambda c: (changed(c.ask(), metrics={"auc_roc": 0.1}), c.remy),
        status=409,
        says="evidence_changed",
    ),
    Row("_may_approve", "approval_not_missing", "approve", lambda c: (c.ask((1, "risk")), c.remy)),
    Row("_may_comment", "role_required", "comment", lambda c: (c.ask(), c.vera)),
    Row("_may_nominate", "not_under_review", "nominate", lambda c: (c.withdrawn(), c.rita)),
    Row("_may_nominate", "role_required", "nominate", lambda c: (c.ask(), c.nora)),
    Row("_may_withdraw", "not_open", "withdraw", lambda c: (c.withdrawn(), c.rita)),
    Row("_may_withdraw", "partly_delivered", "withdraw", lambda c: (c.half(), c.rita)),
    Row("_may_withdraw", "not_requester", "withdraw", lambda c: (c.ask(), c.nora)),
    Row("_may_resubmit", "nothing_to_submit", "resubmit", lambda c: (c.ask(), c.rita)),
    Row("_may_resubmit", "emergency", "resubmit", lambda c: own(c.failed(c.emergency()))),
    Row("_may_resubmit", "not_requester", "resubmit", lambda c: (reviewed(c.ask(), c.remy, "request_changes"), c.nora)),
    Row("may_request", "role_required", "resubmit", lambda c: own(reviewed(c.ask(), c.remy, "request_changes"), "")),
    Row("_may_retry", "nothing_to_retry", "retry", lambda c: (c.ask(), c.remy)),
    Row("_may_retry", "role_required", "retry", lambda c: (c.failed(approve(c.ask(), c.remy)), c.nora)),
    Row("_may_end", "not_open", "end", lambda c: (c.withdrawn(), c.remy)),
    Row("_may_end", "partly_delivered", "end", lambda c: (c.half(), c.rosa)),
    Row("_may_end", "is_requester", "end", lambda c: (c.ask(), c.rita)),
    Row("_may_end", "role_required", "end", lambda c: (c.ask(), c.nora)),
    Row("_may_end_half", "not_partly_delivered", "end_half", lambda c: (c.ask(), c.remy)),
    Row("_may_end_half", "role_required", "end_half", lambda c: (c.half(), c.nora)),
    Row("_may_override", "not_blocked", "override", lambda c: (c.ask(), c.ada)),
    Row("_may_override", "role_required", "override", lambda c: (c.blocked(), c.remy)),
    Row("_may_override", "not_independent", "override", lambda c: (c.blocked(), c.give(c.rita, "administrator"))),
]
BY_TAG = {"excludes_contributors": True, "contributor_tags": ("owner",)}


def own(asked: PromotionRequest, *roles: str) -> tuple[PromotionRequest, User]:
    """By its requester, who only reads by now if a role is named."""
    if roles:
        asked.requester.groups.set(Group.objects.filter(name="auditor"))
    return asked, User.objects.get(pk=asked.requester_id)


OPERATIONS = {
    "approve": ("reviews", "review"),
    "reject": ("reviews", "review"),
    "request_changes": ("reviews", "review"),
    "comment": ("comments", "comment"),
    "withdraw": ("withdraw", "withdraw"),
    "resubmit": ("resubmit", "resubmit"),
}
"""Of each action that the API can do: the end of its address there, and of the page's."""


def said_to(action: str, asked: PromotionRequest) -> dict[str, str]:
    match action:
        case "approve" | "reject" | "request_changes":
            return {"verdict": action, "comment": "Looked at.", "fingerprint": asked.fingerprint}
        case "comment":
            return {"body": "Any news?"}
        case "withdraw":
            return {"reason": "Superseded."}
        case _:
            return {"justification": "With the card."}


def undone(do: Callable[[], Any]) -> Any:
    """What it answers; whatever it did is undone."""
    with transaction.atomic():
        found = do()
        transaction.set_rollback(True)
    return found


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    """Where the policy said no, as it does."""
    seen: list[Place] = []

    def no(code: str, reason: str) -> policy.Answer:
        seen.append(Place(sys._getframe(1).f_code.co_name, code))
        return policy.Answer(False, reason, code)

    monkeypatch.setattr(actions, "no", no)
    return seen


@pytest.mark.parametrize("row", ACTIONS, ids=lambda row: f"{row.action}-{row.place}")
def test_what_the_page_refuses_the_api_refuses_in_the_same_words(
    row: Row, company: Company, client: Client, refused: list[Place]
) -> None:
    asked, by = row.make(company)
    asked = PromotionRequest.objects.with_subject().get(pk=asked.pk)
    refused.clear()
    answer = request_state.of(asked, by).actions[row.action]
    assert (answer.is_allowed, answer.code) == (False, row.code), answer
    assert row.place in refused, refused
    machine = Machine(by)
    told = machine.get(f"/requests/{asked.pk}")["actions"][row.action]
    assert told == {"is_allowed": False, "code": row.code, "reason": answer.reason}
    if row.action not in OPERATIONS:
        assert machine.post(f"/requests/{asked.pk}/{row.action.replace('_', '-')}", {}).status == 404
        return
    ends, sent = OPERATIONS[row.action], said_to(row.action, asked)
    events = AuditEvent.objects.count()
    page = undone(lambda: on_page(client, by, f"{asked.get_absolute_url()}{ends[1]}/", sent))
    found = undone(lambda: machine.post(f"/requests/{asked.pk}/{ends[0]}", sent))
    assert (found.status, found["code"]) == (row.status, row.says or row.code), found.body
    assert AuditEvent.objects.count() == events
    assert row.says == "evidence_changed" or found["detail"] == answer.reason
    if page is not None:
        assert page.status_code == found.status
        assert found["detail"] in text_of(page.content.decode())


def on_page(client: Client, by: User, address: str, sent: dict[str, str]) -> HttpResponse | None:
    """None for service accounts, which never sign in."""
    if by.is_service_account:
        return None
    client.force_login(by)
    return client.post(address, sent)  # type: ignore[return-value]


# --- The others -------------------------------------------------------------------------------------------------------


def request_by(c: Company, by: User) -> tuple[Answer, HttpResponse]:
    make_policy("*", c.staging, (1, None))
    version = make_version()
    form = {"target": "Staging", "justification": "Better."}
    body = {"model": version.model.name, "version": str(version.number), **form}
    page = reverse("approvals:request_new", args=[version.model.name, version.number])
    client = Client()
    client.force_login(by)
    return Machine(by).post("/requests", body), client.post(page, form)  # type: ignore[return-value]


def resolve_by(c: Company, by: User) -> tuple[Answer, HttpResponse]:
    incident = make_incident()
    client = Client()
    client.force_login(by)
    address = reverse("approvals:incident_resolve", args=[incident.pk])
    page = client.post(address, {"reason": "Mine."})
    return Machine(by).post(f"/incidents/{incident.pk}/resolve", {"reason": "Mine."}), page  # type: ignore[return-value]


def export_by(c: Company, by: User) -> tuple[Answer, HttpResponse]:
    client = Client()
    client.force_login(by)
    return Machine(by).get("/events"), client.get(reverse("approvals:history_export_lines"))  # type: ignore[return-value]


def report_by(c: Company, by: User) -> tuple[Answer, None]:
    """No page reports a check."""
    asked = c.ask(checks=(CheckRule("external", "block", {**CI, "url": "https://ci.example.com/"}),))
    said = {"result": "pass", "fingerprint": asked.fingerprint}
    found = Machine(by).post(f"/requests/{asked.pk}/checks/ci", said)
    assert result_of(asked).outcome == "waiting"
    return found, None


def robot(c: Company, owner: User, *groups: str) -> User:
    return make_service_account("ci-bot", owner=owner, groups=groups)


OTHERS: dict[Place, Callable[[Company], tuple[Answer, HttpResponse | None]]] = {
    Place("may_request", "role_required"): lambda c: request_by(c, c.remy),
    Place("may_resolve", "role_required"): lambda c: resolve_by(c, c.rita),
    Place("may", "role_required"): lambda c: export_by(c, c.rita),
    Place("may_report_check", "persons_cannot"): lambda c: report_by(c, c.remy),
    Place("may_report_check", "self_check"): lambda c: report_by(c, robot(c, c.rita, "ci")),
    Place("may_report_check", "not_in_group"): lambda c: report_by(c, robot(c, c.remy, "requester")),
}


@pytest.mark.parametrize("place", OTHERS, ids=str)
def test_what_is_refused_elsewhere_is_refused_in_the_same_words(place: Place, company: Company) -> None:
    found, page = OTHERS[place](company)
    assert (found.status, found["code"]) == (403, place.code), found.body
    assert not PromotionRequest.objects.filter(requester=company.remy).exists()
    if page is not None:
        assert page.status_code == 403
        assert found["detail"] in text_of(page.content.decode())


def test_a_service_account_whose_owner_left_is_not_even_let_in(company: Company) -> None:
    """`may_request:owner_missing`, which the page cannot bring about either."""
    machine = Machine(make_service_account("train-bot", owner=company.nora))
    User.objects.filter(pk=company.nora.pk).update(is_active=False)
    found = machine.post("/requests", {})
    assert (found.status, found["code"]) == (401, "owner_inactive")


# --- That there is a row for each -------------------------------------------------------------------------------------

NOT_REACHED = {
    *("may_make_token", "may_revoke_token", "may_add_publisher", "may_retire_publisher"),
    *("may_undo", "may_close"),
    *("may_roll_back", "may_roll_back_alone", "may_break_glass"),
    *("may_review_afterwards", "may_confirm", "_may_sign"),
}
"""Functions that refuse what no operation of the API does."""

ELSEWHERE = {Place("may_request", "owner_missing")}
"""Refusals with a test of their own."""

CALLED = {
    "administration.ask_for_test": ("may",),
    "administration.exchange": (),  # no account acts yet: it is about to be told which one
    "administration.may": ("may",),
    "administration.pause_webhook": ("may",),
    "administration.record_evidence": ("may",),
    "administration.record_reading": ("may",),
    "administration.resume_webhook": ("may",),
    "administration.retire_webhook": ("may",),
    "administration.save_webhook": ("may",),
    "check_results.report": ("may_report_check",),
    "watch.resolve": ("may_resolve",),
    "workflow.comment": ("_may_comment",),
    "workflow.request_promotion": ("may_request",),
    "workflow.resubmit": ("_may_resubmit", "may_request"),
    "workflow.review": ("_may_decide", "_may_approve"),
    "workflow.withdraw": ("_may_withdraw",),
}
"""What the API calls that can change something, and the functions that refuse it."""

HARMLESS = {"workflow.acting"}
ROOMS = {"administration", "assessment", "check_results", "delivery", "enforcement", "incidents", "watch", "workflow"}


def test_each_refusal_has_a_row() -> None:
    """Whoever adds one to the policy adds a situation here that brings it about."""
    rows = {row.place for row in ACTIONS} | OTHERS.keys() | ELSEWHERE
    known = {place for place in places() if place.function not in NOT_REACHED}
    assert rows == known
    assert {place.function for place in places()} >= NOT_REACHED


def test_each_action_on_a_request_has_a_row(company: Company) -> None:
    asked = check(company.ask())
    assert request_state.of(asked, company.remy).actions.keys() == {row.action for row in ACTIONS}


def test_the_api_calls_no_other_verbs() -> None:
    """Whoever has it call one says which functions refuse it, and these have rows."""
    called = set(calls())
    assert called - HARMLESS == CALLED.keys()
    guards = {function for functions in CALLED.values() for function in functions}
    assert guards <= {row.function for row in ACTIONS} | {place.function for place in OTHERS}


def calls() -> Iterator[str]:
    """`room.function`, of all that the package names. Errors and constants begin with a capital letter."""
    for path in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ROOMS:
                if not node.attr[0].isupper():
                    yield f"{node.value.id}.{node.attr}"
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[-1] in ROOMS:
                for name in (each.name for each in node.names):
                    if not name[0].isupper() and name != "wording":
                        yield f"{node.module.split('.')[-1]}.{name}"


def test_the_rooms_that_are_looked_at_are_those_with_verbs() -> None:
    assert incidents.resolve.is_verb  # type: ignore[attr-defined]
    assert {f"watch.{incidents.resolve.__name__}"} <= set(calls())
