"""What an event has of the program that acted."""

import pytest

from accounts import tokens
from accounts.models import User
from approvals import administration, ledger, workflow
from approvals.ledger import machines
from approvals.models import AuditEvent, PromotionRequest, Target
from tests.support.factories import make_service_account, make_token, make_version

pytestmark = pytest.mark.django_db


def identity(text: str) -> tokens.Identity:
    found = tokens.authenticate(text, address="203.0.113.7")
    assert isinstance(found, tokens.Identity)
    return found


def ask(by: User, production: Target) -> PromotionRequest:
    return workflow.request_promotion(make_version(), production, by=by, justification="Better.")


def test_every_event_inside_has_it_and_none_outside(rita: User, ada: User, production: Target) -> None:
    robot = make_service_account(owner=rita)
    found = identity(make_token(robot))
    with workflow.acting(found, address="203.0.113.7", run="https://ci.example.com/7"):
        request = ask(robot, production)
        workflow.comment(request, by=robot, body="By the pipeline.")
    workflow.withdraw(request, by=rita)
    inside, outside = request.events.order_by("sequence")[:2], request.events.latest("sequence")
    for event in inside:
        machine = machines.of(event)
        assert machine == machines.Machine(
            "ci-train", found.token.prefix, found.token.pk, rita.label, "203.0.113.7", "https://ci.example.com/7"
        )
        assert machine.words == (
            f"API token ci-train ({machine.prefix}), owner Rita Sanz <rita@example.com>, from 203.0.113.7, "
            "pipeline https://ci.example.com/7"
        )
        assert rita.email not in event.payload
        assert event.actor == robot
    assert machines.of(outside) is None
    assert ledger.verify(with_references=True).problem == ""


def test_a_token_that_was_revoked_since_it_was_read_does_nothing(rita: User, ada: User, production: Target) -> None:
    """A service account goes to another owner while a program of the one before is being answered."""
    robot = make_service_account(owner=rita)
    found = identity(make_token(robot))
    groups = robot.groups.all()
    administration.set_person(robot, groups=groups, mlflow_names=[], is_service_account=True, owner=ada, by=ada)
    with workflow.acting(found), pytest.raises(workflow.NotAllowed) as refused:
        ask(robot, production)
    assert refused.value.code == "token_revoked"
    assert not PromotionRequest.objects.exists()


def test_of_a_persons_own_token_there_is_no_owner(rita: User, production: Target) -> None:
    with workflow.acting(identity(make_token(rita))):
        request = ask(rita, production)
    machine = machines.of(request.events.get())
    assert machine is not None
    assert (machine.owner, machine.address, machine.run) == ("", "", "")
    assert machine.words == f"API token ci-train ({machine.prefix})"


def test_a_tokens_name_says_nothing_that_the_line_says_of_others(rita: User) -> None:
    name = "x (csn_aaaaaa), owner Ada Kern <ada@example.com>"
    assert machines.Machine(name, "csn_bbbbbb", 1).words == (
        "API token x (csn_aaaaaa) owner Ada Kern ada@example.com (csn_bbbbbb)"
    )


def test_it_ends_with_the_block_whatever_happens_in_it(rita: User) -> None:
    found = identity(make_token(rita))
    with pytest.raises(ZeroDivisionError), workflow.acting(found):
        raise ZeroDivisionError(machines.current())
    assert machines.current() is None


def test_old_events_say_nothing_of_it(rita: User) -> None:
    make_token(rita)
    assert [machines.of(event) for event in AuditEvent.objects.all()] == [None]
