"""Names in the ledger are tokens: written, read, proved, and found out when somebody tampers with them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import ledger, workflow
from approvals.ledger import pseudonyms
from approvals.models import Action, AuditEvent, Identity, Target
from approvals.models.identities import TOKEN
from approvals.models.ledger import read_together
from approvals.selectors import request_timeline
from tests.approvals.ledger import tampering
from tests.support.factories import approve, make_person, make_request, make_version

pytestmark = pytest.mark.django_db


def write(actor: User | None = None, **fields: Any) -> AuditEvent:
    with transaction.atomic():
        return ledger.record(Action.REQUEST_COMMENTED, actor=actor, **fields)


def stored(event: AuditEvent) -> str:
    return f"{event.stored_actor} {event.stored_allowed_by} {event.payload}"


# --- Writing and reading ----------------------------------------------------------------------------------------------


def test_an_event_has_tokens_in_its_columns_and_names_for_those_who_read_it(remy: User, rosa: User) -> None:
    said = {"person": rosa.label, "list": [remy.label, {"deep": f"see {rosa.label}, or ask rosa@example.com."}]}
    write(remy, allowed_by=[remy.label, rosa.label], data=said)
    event = AuditEvent.objects.get()
    assert "emy" not in stored(event)
    assert "osa" not in stored(event)
    assert event.actor_label == "Remy Ortiz <remy@example.com>"
    assert event.allowed_by == "Remy Ortiz <remy@example.com>\nRosa Lind <rosa@example.com>"
    assert event.data == said
    assert event.people("person") == {rosa.pk}
    assert ledger.verify().is_intact


def test_one_name_has_one_row_however_often_it_is_written(remy: User) -> None:
    first, second = write(remy), write(remy)
    assert first.stored_actor == second.stored_actor == Identity.objects.get(person=remy).token


def test_two_people_of_one_name_are_two_and_a_longer_address_is_another(remy: User) -> None:
    other = make_person("Xremy Ortiz")
    User.objects.filter(pk=other.pk).update(name="Remy Ortiz", email="xremy@example.com")
    event = write(None, data={"a": "remy@example.com", "b": "xremy@example.com", "c": "remy@example.com.au"})
    assert {key: event.people(key) for key in "abc"} == {"a": {remy.pk}, "b": {other.pk}, "c": set()}
    assert event.data["c"] == "remy@example.com.au"


def test_an_event_from_before_there_were_tokens_is_read_as_it_stands(remy: User) -> None:
    write(None)
    tampering.alter(
        1, actor_label=remy.label, payload='{"person":"Rosa Lind <rosa@example.com>"}', with_fitting_hash=True
    )
    event = AuditEvent.objects.get()
    assert (event.actor_label, event.data) == (remy.label, {"person": "Rosa Lind <rosa@example.com>"})


def test_a_token_that_somebody_typed_names_nobody_and_alarms_nobody(remy: User) -> None:
    typed = f"⟨person {remy.pk}:{'a' * 64}⟩"
    event = write(remy, data={"comment": typed})
    assert event.data["comment"] == f"person {remy.pk}:{'a' * 64}"
    assert pseudonyms.problems() == []


def test_writing_costs_one_query_more_where_all_are_known(remy: User, rosa: User, vera: User) -> None:
    labels = [remy.label, rosa.label, vera.label]
    write(remy, allowed_by=labels)
    with CaptureQueriesContext(
        connection,
    ) as alone:
        write(None, allowed_by=["Countersign"])
    with CaptureQueriesContext(connection) as named:
        write(remy, allowed_by=labels, data={"list": labels * 20})
    assert len(named) == len(alone) + 1


@pytest.mark.parametrize("count", [2, 12])
def test_events_that_are_read_together_look_their_names_up_together(
    count: int, rita: User, remy: User, django_assert_num_queries: Any
) -> None:
    for number in range(count):
        write(remy, data={"comment": f"{number}: {rita.label}"})
    with django_assert_num_queries(2):
        shown = [
            (entry.name, entry.said) for entry in request_timeline.entries(AuditEvent.objects.order_by("sequence"))
        ]
    assert shown[-1] == ("Remy Ortiz", f"{count - 1}: Rita Sanz <rita@example.com>")
    with django_assert_num_queries(2):
        rows = list(AuditEvent.objects.iterator())
        read_together(rows)
        assert {row.actor_label for row in rows} == {remy.label}


def test_a_list_of_values_or_of_nothing_is_left_alone(remy: User) -> None:
    write(remy)
    assert list(AuditEvent.objects.values_list("sequence", flat=True)) == [1]
    assert list(AuditEvent.objects.none()) == []
    assert AuditEvent.objects.defer("payload").get().actor_label == remy.label


def test_exports_tell_what_tokens_stand_for(remy: User) -> None:
    event = write(remy, data={"comment": "Ask remy@example.com"})
    assert set(pseudonyms.names_in(event).values()) == {remy.label, remy.email}
    assert all(TOKEN.fullmatch(token) for token in pseudonyms.names_in(event))


# --- Proving ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(rita: User, remy: User, rosa: User, production: Target) -> None:
    approve(make_request(make_version(number=7), production, by=rita), remy, rosa)
    with transaction.atomic():
        remy.name = "Remy Ortiz-Lind"
        remy.save()
    write(remy)


def swap(column: str, *columns: str) -> None:
    first, second = Identity.objects.order_by("pk")[:2]
    for each in (column, *columns):
        one, other = getattr(first, each), getattr(second, each)
        if each == "commitment":
            Identity.objects.filter(pk=first.pk).update(commitment="0" * 64)
        Identity.objects.filter(pk=second.pk).update(**{each: one})
        Identity.objects.filter(pk=first.pk).update(**{each: other})


def rename(pk: int, **fields: str) -> None:
    User.objects.filter(pk=pk).update(**fields)


def swap_people() -> None:
    rita, remy = User.objects.get(email="rita@example.com"), User.objects.get(email="remy@example.com")
    rename(rita.pk, email="x@example.com")
    rename(remy.pk, name=rita.name, email=rita.email)
    rename(rita.pk, name=remy.name, email=remy.email)


def test_what_fits_has_no_problems(history: None) -> None:
    assert pseudonyms.problems() == []


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (lambda: Identity.objects.filter(label__startswith="Rita").update(label="Eve <eve@x.example>"), "was altered"),
        (lambda: swap("label"), "was altered"),
        (lambda: swap("label", "salt"), "was altered"),
        (lambda: swap("label", "salt", "commitment"), "was altered"),
        (lambda: swap("person_id"), "was altered"),
        (swap_people, "but the ledger knows them as"),
        (lambda: rename(User.objects.get(name="Rosa Lind").pk, name="Eve"), "is called “Eve <rosa@example.com>” now"),
        (
            lambda: Identity.objects.filter(label__startswith="Rosa").update(
                label="", salt="", erased_at="2026-01-01T00:00Z"
            ),
            "no event says that they were pseudonymised",
        ),
        (lambda: Identity.objects.filter(label__startswith="Rita").delete(), "no identity of theirs has"),
        (lambda: tampering.alter(1, actor_id=User.objects.get(name="Rosa Lind").pk), "but its token is of person"),
    ],
)
def test_tampering_with_names_is_found(history: None, tamper: Callable[[], None], problem: str) -> None:
    tamper()
    found = pseudonyms.problems()
    assert any(problem in sentence for sentence in found), found


def test_a_rename_behind_the_ledgers_back_is_still_found_when_the_person_has_acted_since(history: None) -> None:
    rosa = User.objects.get(email="rosa@example.com")
    rename(rosa.pk, name="Eve")
    rosa.refresh_from_db()
    write(rosa)
    (sentence,) = pseudonyms.problems()
    became = "was “Rosa Lind <rosa@example.com>” and became “Eve <rosa@example.com>”, but no event says so."
    assert sentence == f"Person {rosa.pk} {became}"


def test_names_of_people_whose_events_are_older_than_tokens_are_held_against_those(remy: User) -> None:
    write(remy)
    tampering.alter(1, actor_label=remy.label, with_fitting_hash=True)
    Identity.objects.all().delete()
    assert pseudonyms.problems() == []
    rename(remy.pk, name="Eve")
    assert len(pseudonyms.problems()) == 1


def test_problems_are_bounded(remy: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(pseudonyms.MOST_PROBLEMS + 5):
        write(remy)
    Identity.objects.all().delete()
    assert len(pseudonyms.problems()) == pseudonyms.MOST_PROBLEMS


# --- Changes of a name ------------------------------------------------------------------------------------------------


def test_a_new_name_is_an_event_in_the_same_transaction_and_the_old_one_stays_on_old_events(remy: User) -> None:
    write(remy)
    remy.name = "Remy Ortiz-Lind"
    remy.save()
    old, renamed = AuditEvent.objects.order_by("sequence")
    assert old.actor_label == "Remy Ortiz <remy@example.com>"
    assert renamed.action == Action.PERSON_RENAMED
    assert renamed.data == {
        "before": "Remy Ortiz <remy@example.com>",
        "after": "Remy Ortiz-Lind <remy@example.com>",
    }
    assert "Remy" not in stored(renamed)
    assert pseudonyms.problems() == []


def test_a_change_that_is_rolled_back_leaves_no_event(remy: User) -> None:
    with transaction.atomic():
        remy.name = "Eve"
        remy.save()
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()
    assert User.objects.get(pk=remy.pk).name == "Remy Ortiz"


def test_a_change_whose_event_cannot_be_written_does_not_happen(remy: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("No event today.")

    monkeypatch.setattr(ledger, "record", refuse)
    remy.name = "Eve"
    with pytest.raises(RuntimeError, match="No event today"):
        remy.save()
    assert User.objects.get(pk=remy.pk).name == "Remy Ortiz"


def test_saving_what_is_not_a_name_is_no_event_and_costs_no_look(remy: User, django_assert_num_queries: Any) -> None:
    remy.uses_shortcuts = False
    with CaptureQueriesContext(connection) as queries:
        remy.save(update_fields=["uses_shortcuts"])
    assert [each["sql"].split()[0] for each in queries] in (["UPDATE"], ["SAVEPOINT", "UPDATE", "RELEASE"])
    remy.save()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("address", ["/history/", "/history/1/", "/requests/1/", "/people/1/"])
def test_no_page_looks_names_up_row_by_row(
    client: Client, ada: User, rita: User, remy: User, rosa: User, production: Target, address: str
) -> None:
    request = make_request(make_version(number=7), production, by=rita)
    address = address.replace("/requests/1/", request.get_absolute_url()).replace("/people/1/", f"/people/{remy.pk}/")
    client.force_login(ada)

    def cost() -> int:
        client.get(address)  # what is cached for the session
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return sum("approvals_identity" in each["sql"] for each in queries)

    for person in (remy, rosa):
        workflow.comment(request, by=person, body=f"See {rita.label}.")
    few = cost()
    for person in (remy, rosa) * 4:
        workflow.comment(request, by=person, body=f"See {rita.label} and {ada.label}.")
    assert (few, cost()) == (1, 1)
