"""Several rooms. Service accounts: somebody answers for each, counts as the requester of what it asks, and has no say
in it."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from approvals import administration, notifications, workflow
from approvals.models import Action, AuditEvent, Notification, PromotionRequest, Status, Target
from approvals.selectors import inbox, request_state
from approvals.workflow import Invalid, NotAllowed
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def robot(remy: User, ada: User) -> User:
    made = make_person("Ci Robot")
    own(made, remy, by=ada)
    return User.objects.get(pk=made.pk)


def own(robot: User, owner: User | None, *, by: User) -> None:
    groups = [Group.objects.get(name="requester")]
    administration.set_person(robot, groups=groups, mlflow_names=[], is_service_account=True, owner=owner, by=by)


@pytest.fixture
def asked(robot: User, production: Target) -> PromotionRequest:
    make_policy("credit_risk", production, (1, None))
    return make_request(make_version("credit_risk"), production, by=robot)


def unowned(robot: User) -> User:
    """As an installation has it that made service accounts before they had owners."""
    User.objects.filter(pk=robot.pk).update(owner=None)
    return User.objects.get(pk=robot.pk)


@pytest.mark.parametrize("verdict", ["approve", "reject", "request_changes"])
def test_nobody_reviews_what_their_service_account_asked(
    asked: PromotionRequest, remy: User, rosa: User, verdict: str
) -> None:
    with pytest.raises(NotAllowed, match="You requested this promotion"):
        workflow.review(asked, by=remy, verdict=verdict, comment="Mine.")
    assert remy.pk in request_state.of(asked).excluded
    workflow.review(asked, by=rosa, verdict=verdict, comment="Read.")
    asked.refresh_from_db()
    assert asked.status != Status.PENDING


def test_who_owned_it_when_it_asked_stays_out_after_another_owns_it(
    asked: PromotionRequest, robot: User, remy: User, rosa: User, ada: User
) -> None:
    own(robot, rosa, by=ada)
    for person in (remy, rosa):
        with pytest.raises(NotAllowed, match="You requested"):
            workflow.review(asked, by=person, verdict="approve")
    workflow.review(asked, by=make_person("Ines Falk", "reviewer"), verdict="approve")
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED


def test_an_approval_of_a_later_owner_does_not_count(
    robot: User, remy: User, rosa: User, ada: User, production: Target
) -> None:
    make_policy("credit_risk", production, (2, None))
    asked = make_request(make_version("credit_risk"), production, by=robot)
    workflow.review(asked, by=rosa, verdict="approve")
    own(robot, rosa, by=ada)
    workflow.review(asked, by=make_person("Ines Falk", "reviewer"), verdict="approve")
    asked.refresh_from_db()
    assert asked.status == Status.PENDING


def test_nor_do_they_override_its_checks_or_confirm_it(asked: PromotionRequest, remy: User) -> None:
    assert request_state.after_facts(asked, remy).asked_by == {remy.pk, asked.requester_id}
    assert not request_state.of(asked, remy).actions["override"]


def test_the_owner_may_take_back_what_it_asked_and_finds_it_among_theirs(asked: PromotionRequest, remy: User) -> None:
    assert list(inbox.tab("mine", remy)) == [asked]
    assert asked not in inbox.tab("waiting", remy)
    workflow.withdraw(asked, by=remy)
    asked.refresh_from_db()
    assert asked.status == Status.WITHDRAWN


def test_the_owner_is_told(asked: PromotionRequest, remy: User, rosa: User) -> None:
    notifications.collect()
    workflow.review(asked, by=rosa, verdict="reject", comment="Not yet.")
    notifications.collect()
    told = Notification.objects.filter(request=asked, kind="decided")
    assert set(told.values_list("recipient", flat=True)) == {remy.pk}


def test_ledger_pages_and_certificate_name_the_owner(
    robot: User, remy: User, rosa: User, client: Client, production: Target
) -> None:
    asked = make_request(make_version("credit_risk"), production, by=robot)  # under the policy that is there at first
    created = AuditEvent.objects.get(action=Action.REQUEST_CREATED)
    assert created.data["owner"] == remy.label
    assert remy.email not in created.payload
    workflow.review(asked, by=rosa, verdict="approve")
    client.force_login(rosa)
    html = client.get(asked.get_absolute_url()).content.decode()
    assert "service account of <bdi>Remy Ortiz</bdi>" in html


# --- Without an owner -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["none", "deactivated"])
def test_without_an_active_owner_it_asks_for_nothing(robot: User, remy: User, production: Target, state: str) -> None:
    if state == "none":
        robot = unowned(robot)
    User.objects.filter(pk=remy.pk).update(is_active=state == "none")
    robot = User.objects.get(pk=robot.pk)
    version = make_version("credit_risk")
    with pytest.raises(NotAllowed, match="no active owner"):
        workflow.request_promotion(version, production, by=robot, justification="Better.")
    with pytest.raises(NotAllowed, match="no active owner"):
        workflow.roll_back(version.model, production, by=robot, reason="Worse.")


def test_what_it_asked_before_waits_until_somebody_owns_it(
    asked: PromotionRequest, robot: User, rosa: User, remy: User, ada: User, client: Client
) -> None:
    PromotionRequest.objects.update(owner=None)
    robot = unowned(robot)
    with pytest.raises(NotAllowed, match="The service account Ci Robot has no owner"):
        workflow.review(asked, by=rosa, verdict="approve")
    client.force_login(rosa)
    assert "The service account Ci Robot has no owner" in client.get(asked.get_absolute_url()).content.decode()
    own(robot, remy, by=ada)
    workflow.review(asked, by=rosa, verdict="approve")
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED


def test_approvals_from_before_complete_it_when_an_owner_is_named(
    asked: PromotionRequest, robot: User, rosa: User, remy: User, ada: User
) -> None:
    PromotionRequest.objects.update(owner=None)
    robot = unowned(robot)
    asked.reviews.create(
        reviewer=rosa, requester=robot, verdict="approve", fingerprint=asked.fingerprint, parts=asked.parts
    )
    own(robot, remy, by=ada)
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED


def test_the_program_itself_needs_no_owner(db: Any) -> None:
    assert User.objects.countersign().is_answered_for


# --- On the People page -----------------------------------------------------------------------------------------------


def test_an_owner_is_an_active_person_and_not_itself(robot: User, remy: User, ada: User) -> None:
    other = make_person("Other Robot", is_service_account=True)
    gone = make_person("Gone Person", is_active=False)
    for owner in (None, other, gone, robot):
        with pytest.raises(Invalid, match="A service account needs an owner"):
            own(robot, owner, by=ada)
    assert User.objects.get(pk=robot.pk).owner == remy


def test_a_person_has_no_owner(robot: User, remy: User, ada: User) -> None:
    administration.set_person(robot, groups=[], mlflow_names=[], is_service_account=False, owner=remy, by=ada)
    assert User.objects.get(pk=robot.pk).owner is None


def test_the_page_says_who_owns_it_and_who_is_missing(
    robot: User, asked: PromotionRequest, remy: User, ada: User, client: Client
) -> None:
    client.force_login(ada)
    assert "Service account of Remy Ortiz" in text_of(client.get("/people/").content.decode())
    html = text_of(client.get(f"/people/{remy.pk}/active/").content.decode())
    assert "Their service accounts cannot make requests" in html
    unowned(robot)
    html = text_of(client.get("/people/").content.decode())
    assert "1 service account without an active owner" in html
    assert "Service account without an active owner: cannot make requests" in html
    page = text_of(client.get(f"/people/{robot.pk}/").content.decode())
    assert "None: the account cannot make requests" in page
    sent = {"roles": [group.pk for group in robot.groups.all()], "is_service_account": "on"}
    refused = client.post(f"/people/{robot.pk}/", sent)
    assert (refused.status_code, "A service account needs an owner" in refused.content.decode()) == (422, True)
    assert client.post(f"/people/{robot.pk}/", sent | {"owner": remy.pk}).status_code == 302
    told = AuditEvent.objects.filter(action=Action.PERSON_IDENTIFIED).latest("sequence")
    assert told.data["after"]["owner"] == remy.label
    history = client.get("/history/").content.decode()
    assert "made Remy Ortiz &lt;remy@example.com&gt; the owner of" in history
