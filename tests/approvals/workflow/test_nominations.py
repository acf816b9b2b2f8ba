"""Asking somebody by name, or a group, to review: who may, who can be asked, and what comes of it."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import ledger, notifications, workflow
from approvals.models import Action, AuditEvent, Kind, Nomination, Notification, PromotionRequest, Target
from approvals.selectors import inbox, inbox_rows, nominations
from tests.support.factories import approve, check, make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def rosa(rosa: User) -> User:
    make_person("Risa Kern", "reviewer", "risk")
    return rosa


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, ada: User, production: Target) -> PromotionRequest:
    """One approval from risk (Risa may give it) and one from any reviewer."""
    make_policy("*", production, (1, "risk"), (1, None))
    return make_request(make_version(number=7), production, by=rita)


def risa() -> User:
    return User.objects.get(name="Risa Kern")


def told_of(kind: Kind) -> dict[str, str]:
    notifications.collect()
    rows = Notification.objects.filter(kind=kind, recipient__isnull=False).select_related("recipient").order_by("pk")
    return {row.recipient.name: row.title for row in rows if row.recipient}


def test_a_person_is_asked_and_it_is_on_the_record(asked: PromotionRequest, rita: User, remy: User) -> None:
    workflow.nominate(asked, by=rita, person=remy)
    event = AuditEvent.objects.get(action=Action.REVIEWERS_NOMINATED)
    assert event.data == {"people": [remy.label], "group": ""}
    assert ledger.sentences.sentence(event) == "asked Remy Ortiz to review"
    assert ledger.verify().problem == ""


def test_who_is_asked_is_told_by_name_and_others_are_not(asked: PromotionRequest, rita: User, remy: User) -> None:
    notifications.collect()
    workflow.nominate(asked, by=rita, person=remy)
    workflow.nominate(asked, by=remy, group="risk")
    assert set(told_of(Kind.ASKED)) == {"Remy Ortiz", "Risa Kern"}
    assert told_of(Kind.ASKED)["Remy Ortiz"].startswith("Rita Sanz asks you to review ")


def test_who_was_asked_during_the_checks_hears_of_it_when_they_have_passed(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version(number=7), production, by=rita, is_checked=False)
    workflow.nominate(request, by=rita, person=remy)
    assert told_of(Kind.ASKED) == {}
    check(request)
    assert set(told_of(Kind.ASKED)) == {"Remy Ortiz"}
    assert "Remy Ortiz" not in told_of(Kind.WAITS)
    assert "Rosa Lind" in told_of(Kind.WAITS)


def refusal(asked: PromotionRequest, by: User, **who: object) -> str:
    with pytest.raises(workflow.WorkflowError) as refused:
        workflow.nominate(asked, by=by, **who)  # type: ignore[arg-type]
    return refused.value.message


def test_who_cannot_review_cannot_be_asked(
    asked: PromotionRequest, rita: User, remy: User, rosa: User, vera: User
) -> None:
    assert refusal(asked, rita, person=vera) == (
        "Vera Holm cannot review: that needs an active account with the reviewer role."
    )
    rita.groups.add(*remy.groups.all())
    assert "Rita Sanz requested this promotion" in refusal(asked, remy, person=rita)
    approve(asked, remy)
    assert refusal(asked, rita, person=remy) == "Remy Ortiz has already approved."
    assert refusal(asked, rita, person=rosa) == "Rosa Lind cannot give what is missing: 1 approval from risk."
    assert refusal(asked, rita, group="legal") == "No missing approval has to come from the group legal."
    assert refusal(asked, rita) == "Choose one person or one group."
    workflow.nominate(asked, by=rita, group="risk")
    assert refusal(asked, rita, group="risk") == "The group risk was asked already."
    assert Nomination.objects.count() == 1


def test_who_contributed_and_an_empty_group_cannot_be_asked(rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, (1, None), (1, "legal"), excludes_contributors=True)
    remy.mlflow_names = ["rortiz"]
    remy.save()
    request = make_request(make_version(number=7, run={"user": "rortiz"}), production, by=rita)
    said = refusal(request, rita, person=remy)
    assert said in (
        "Remy Ortiz contributed to this version, so another person must review it.",
        "Remy Ortiz cannot give what is missing: 1 approval and 1 approval from legal.",
    )
    assert refusal(request, rita, group="legal") == "No one in the group legal can review this request."


def test_auditors_ask_nobody_and_nobody_is_asked_once_it_is_decided(
    asked: PromotionRequest, rita: User, remy: User, vera: User
) -> None:
    assert "The requester, reviewers and administrators" in refusal(asked, vera, person=remy)
    workflow.withdraw(asked, by=rita)
    assert refusal(asked, rita, person=remy) == "No review is open: withdrawn."


def row_of(user: User) -> inbox_rows.Row:
    (row,) = inbox_rows.rows(list(inbox.for_list(inbox.tab("waiting", user))), user, now=timezone.now())
    return row


def test_the_inbox_says_who_is_addressed(asked: PromotionRequest, rita: User, remy: User, rosa: User) -> None:
    workflow.nominate(asked, by=rita, person=remy)
    workflow.nominate(asked, by=rita, group="risk")
    assert [row_of(each).is_addressed for each in (remy, rosa, risa())] == [True, False, True]


def page(client: Client, person: User, asked: PromotionRequest) -> str:
    client.force_login(person)
    return client.get(asked.get_absolute_url()).content.decode()


def test_the_page_asks_and_shows_who_was_asked(
    client: Client, asked: PromotionRequest, rita: User, remy: User, vera: User
) -> None:
    shown = page(client, rita, asked)
    assert f'value="person:{remy.pk}"' in shown
    assert 'value="group:risk"' in shown
    assert "Ask to review</button>" in shown
    assert 'value="person:' not in page(client, vera, asked)
    client.force_login(rita)
    address = f"{asked.get_absolute_url()}nominate/"
    for who in (f"person:{remy.pk}", "group:risk"):
        assert client.post(address, {"who": who}).status_code == 302
    shown = page(client, rita, asked)
    assert "Asked: <bdi>Remy Ortiz</bdi>" in shown
    assert "Asked: <bdi>risk</bdi> (group)" in shown
    assert f'value="person:{remy.pk}"' not in shown
    assert client.post(address, {"who": f"person:{remy.pk}"}).status_code == 409
    assert client.post(address, {"who": f"person:{vera.pk}"}).status_code == 422
    for nonsense in ("", "person:x", "person:999999", "dog:1", "group:"):
        assert client.post(address, {"who": nonsense}).status_code == 422


def test_what_is_taken_back_is_asked_no_more_and_may_be_asked_anew(
    asked: PromotionRequest, rita: User, remy: User, vera: User
) -> None:
    made = workflow.nominate(asked, by=rita, person=remy)
    with pytest.raises(workflow.NotAllowed):
        workflow.take_back_nomination(asked, by=vera, nomination=made.pk)
    with pytest.raises(workflow.Invalid):
        workflow.take_back_nomination(asked, by=rita, nomination=made.pk + 1)
    workflow.take_back_nomination(asked, by=remy, nomination=made.pk)  # who is asked may, too
    with pytest.raises(workflow.Conflict, match=r"Remy Ortiz is no longer asked by name\."):
        workflow.take_back_nomination(asked, by=rita, nomination=made.pk)
    event = AuditEvent.objects.get(action=Action.NOMINATION_TAKEN_BACK)
    assert ledger.sentences.sentence(event) == "no longer asks Remy Ortiz to review"
    assert not row_of(remy).is_addressed
    assert nominations.nominated(asked) == set()
    workflow.nominate(asked, by=rita, person=remy)
    assert row_of(remy).is_addressed
    assert Nomination.objects.count() == 2
    assert ledger.verify().problem == ""


def test_during_the_checks_a_nomination_that_was_taken_back_makes_no_difference(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version(number=7), production, by=rita, is_checked=False)
    made = workflow.nominate(request, by=rita, person=remy)
    workflow.take_back_nomination(request, by=rita, nomination=made.pk)
    check(request)
    assert told_of(Kind.ASKED) == {}
    assert {"Remy Ortiz", "Rosa Lind"} <= set(told_of(Kind.WAITS))


def test_the_page_takes_it_back(client: Client, asked: PromotionRequest, rita: User, remy: User, vera: User) -> None:
    made = workflow.nominate(asked, by=rita, person=remy)
    address = f"{asked.get_absolute_url()}nominate/{made.pk}/take-back/"
    assert address not in page(client, vera, asked)
    assert address in page(client, remy, asked)
    assert client.post(address).status_code == 302
    shown = page(client, remy, asked)
    assert "They are no longer asked by name" in shown
    assert "Asked: <bdi>" not in shown
    assert f'value="person:{remy.pk}"' in shown
    assert client.post(address).status_code == 409
    assert client.post(f"{asked.get_absolute_url()}nominate/999/take-back/").status_code == 422
