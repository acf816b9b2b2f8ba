"""Pseudonymising: the name goes out of every table, the chain stays whole, and the page says what remains."""

import ast
import csv
import io
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import administration, ledger, notifications, workflow
from approvals.evidence import approval_note
from approvals.ledger import pseudonyms
from approvals.models import (
    Action,
    AuditEvent,
    Identity,
    Kind,
    Notification,
    Policy,
    PromotionRequest,
    Review,
    Target,
)
from approvals.selectors import history, name_residue, note_claims
from approvals.workflow import Invalid, NotAllowed
from mirror.models import ModelVersion
from registry_ui.demo.installation import ROOT
from tests.support.factories import PASSWORD, approve, check, make_person, make_request, make_version
from tests.support.pages import note_of, text_of
from tests.support.world import settle

pytestmark = pytest.mark.django_db
WHY = "Left the company, asked for it on 3 May."


@pytest.fixture
def past(rita: User, remy: User, rosa: User, ada: User, production: Target) -> PromotionRequest:
    """Remy approved something that was applied, commented, was renamed, signed in, and has all that an account has."""
    request = settle(make_request(make_version(number=7), production, by=rita), remy, rosa)
    workflow.comment(request, by=remy, body="The holdout is fine.")
    administration.set_person(
        remy, groups=remy.groups.all(), mlflow_names=["remy.ortiz"], is_service_account=False, by=ada
    )
    policy = Policy.objects.filter(target=production, retired_at=None)[0]
    policy.versions.update(saved_by=remy, saved_as=remy.label)
    notifications.collect()
    remy.refresh_from_db()
    remy.name = "Remy Ortiz-Lind"
    remy.save()
    EmailAddress.objects.create(user=remy, email=remy.email, primary=True, verified=True)
    SocialAccount.objects.create(user=remy, provider="sso", uid="r-17", extra_data={"email": remy.email})
    Authenticator.objects.create(user=remy, type=Authenticator.Type.TOTP, data={"secret": "x"})
    browser = Client()
    browser.post("/accounts/login/", {"login": remy.email, "password": PASSWORD})
    browser.force_login(remy)
    stranger = SessionStore()
    stranger["account_login"] = {"email": remy.email}
    stranger.create()
    return request


def everything() -> dict[str, str]:
    """Every row of every table as text, by table."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608  the database's own names
            found[table] = "\n".join(map(str, cursor.fetchall()))
    return found


def traces(*names: str) -> dict[str, list[str]]:
    return {
        table: [name for name in names if name.lower() in text.lower()]
        for table, text in everything().items()
        if any(name.lower() in text.lower() for name in names)
    }


NAMES = ("Remy Ortiz", "remy@example.com", "remy.ortiz", "Remy")


def test_nothing_of_the_name_is_left_in_any_table_and_the_chain_is_whole(
    past: PromotionRequest, remy: User, ada: User
) -> None:
    before = traces(*NAMES)
    assert {"accounts_user", "approvals_identity", "approvals_review", "approvals_notification"} <= set(before)
    assert "approvals_auditevent" not in before
    count = AuditEvent.objects.count()
    assert ledger.verify() == ledger.Verdict(count)

    administration.pseudonymise(remy, reason=WHY, by=ada)

    assert traces(*NAMES) == {}
    for data in SessionStore().get_model_class().objects.values_list("session_data", flat=True):
        assert "remy" not in str(SessionStore().decode(data)).lower()
    verdict = ledger.verify()
    assert verdict == ledger.Verdict(verdict.events)
    assert verdict.events == count + 2  # deactivated, pseudonymised
    assert pseudonyms.problems() == []


def test_the_record_goes_on_saying_that_it_was_one_person(past: PromotionRequest, remy: User, ada: User) -> None:
    administration.pseudonymise(remy, reason=WHY, by=ada)
    nameless = f"Person {remy.pk} (pseudonymised)"
    promoted = AuditEvent.objects.get(action=Action.VERSION_PROMOTED)
    assert promoted.allowed_by == f"{nameless}\nRosa Lind <rosa@example.com>"
    signed = AuditEvent.objects.filter(action=Action.REVIEW_APPROVED).order_by("sequence")[0]
    assert (signed.actor, signed.actor_label) == (remy, nameless)
    renamed = AuditEvent.objects.get(action=Action.PERSON_RENAMED)
    assert renamed.data == {"before": nameless, "after": nameless}
    assert Review.objects.get(reviewer=remy).signed_name == nameless
    last = AuditEvent.objects.order_by("-sequence")[0]
    assert last.data == {"person": f"Person {remy.pk}", "number": remy.pk, "reason": WHY}
    remy.refresh_from_db()
    assert remy.label == f"Person {remy.pk} <person-{remy.pk}@pseudonymised.invalid>"
    assert [group.name for group in remy.groups.all()] == ["reviewer"]


def test_there_is_no_way_back_in(past: PromotionRequest, remy: User, ada: User) -> None:
    browser = Client()
    browser.force_login(remy)
    administration.pseudonymise(remy, reason=WHY, by=ada)
    assert browser.get("/").headers["Location"].startswith("/accounts/login/")
    remy.refresh_from_db()
    for email in ("remy@example.com", remy.email):
        assert not Client().login(email=email, password=PASSWORD)
    assert not remy.has_usable_password()
    for verb in (
        lambda: administration.set_active(remy, is_active=True, by=ada),
        lambda: administration.set_groups(remy, groups=[], by=ada),
        lambda: administration.set_person(remy, groups=[], mlflow_names=["remy"], is_service_account=False, by=ada),
        lambda: administration.pseudonymise(remy, reason=WHY, by=ada),
    ):
        with pytest.raises(Invalid, match="was pseudonymised"):
            verb()


def test_somebody_else_may_have_the_address_afterwards(past: PromotionRequest, remy: User, ada: User) -> None:
    administration.pseudonymise(remy, reason=WHY, by=ada)
    again = administration.invite(email="remy@example.com", name="Remy Ortiz", groups=[], by=ada)
    assert AuditEvent.objects.order_by("-sequence")[0].people("person") == {again.pk}
    promoted = AuditEvent.objects.get(action=Action.VERSION_PROMOTED)
    assert "Remy" not in promoted.allowed_by
    assert pseudonyms.problems() == []


def test_a_verb_that_was_under_way_does_not_bring_the_name_back(past: PromotionRequest, remy: User, ada: User) -> None:
    stale = User.objects.get(pk=remy.pk)
    administration.pseudonymise(remy, reason=WHY, by=ada)
    with transaction.atomic():
        ledger.record(Action.REQUEST_COMMENTED, actor=stale, data={"comment": f"Signed: {stale.label}"})
    assert traces(*NAMES) == {}
    assert AuditEvent.objects.order_by("-sequence")[0].actor_label.startswith(f"Person {remy.pk} ")


def test_words_that_only_look_like_a_name_stay_in_notifications(
    rita: User, ada: User, remy: User, staging: Target
) -> None:
    mark = make_person("Mark", "reviewer", mlflow_names=["Staging"])
    request = make_request(make_version(), staging, by=rita)
    workflow.comment(request, by=mark, body="Mark it as marked, says Mark.")
    notifications.collect()
    administration.pseudonymise(mark, reason=WHY, by=ada)
    told = Notification.objects.get(recipient=rita, kind=Kind.COMMENTED)
    assert told.title == f"Person {mark.pk} (pseudonymised) commented on churn_predictor v1 to Staging"


# --- Who, whom, when --------------------------------------------------------------------------------------------------


def test_only_administrators_may_and_not_to_themselves(remy: User, vera: User, ada: User) -> None:
    with pytest.raises(NotAllowed, match="Only administrators can manage people"):
        administration.pseudonymise(remy, reason=WHY, by=vera)
    with pytest.raises(Invalid, match="ask another administrator"):
        administration.pseudonymise(ada, reason=WHY, by=ada)
    assert not AuditEvent.objects.exists()


def test_the_last_administrator_stays(ada: User) -> None:
    only = make_person("Odo Last", "administrator")
    User.objects.filter(pk=ada.pk).update(is_active=True)
    administration.set_active(ada, is_active=False, by=only)
    ada.refresh_from_db()
    with pytest.raises(NotAllowed):
        administration.pseudonymise(only, reason=WHY, by=ada)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("  ", "Enter who asked"),
        ("Remy Ortiz left.", "must not contain the name"),
        ("Mail from REMY@example.com", "must not contain"),
    ],
)
def test_the_reason_says_why_and_not_who(remy: User, ada: User, reason: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        administration.pseudonymise(remy, reason=reason, by=ada)
    assert not AuditEvent.objects.exists()


def test_who_still_asks_for_something_keeps_the_name_until_it_is_decided(
    rita: User, ada: User, staging: Target
) -> None:
    request = make_request(make_version(), staging, by=rita)
    with pytest.raises(Invalid, match=f"They have open requests: request #{request.pk}. Wait for a decision"):
        administration.pseudonymise(rita, reason=WHY, by=ada)
    workflow.withdraw(request, by=rita, reason="")
    administration.pseudonymise(rita, reason=WHY, by=ada)
    assert traces("Rita", "rita@") == {}


def test_who_approved_what_is_being_delivered_keeps_the_name_until_it_is_there(
    rita: User, remy: User, ada: User, staging: Target
) -> None:
    request = approve(make_request(make_version(), staging, by=rita), remy)
    with pytest.raises(Invalid, match=f"with their name are still being delivered: request #{request.pk}"):
        administration.pseudonymise(remy, reason=WHY, by=ada)


def test_others_are_asked_for_an_approval_that_no_longer_counts(
    rita: User, remy: User, rosa: User, ada: User, production: Target
) -> None:
    zoe = make_person("Zoe Falk", "reviewer")
    request = approve(make_request(make_version(number=7), production, by=rita), remy)
    notifications.collect()
    Notification.objects.all().delete()
    administration.pseudonymise(remy, reason=WHY, by=ada)
    notifications.collect()
    asked = Notification.objects.filter(request=request, kind=Kind.WAITS)
    assert {row.recipient for row in asked} == {rosa, zoe}
    assert "no longer counts" in asked[0].text


# --- Exports and notes ------------------------------------------------------------------------------------------------


def exported() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(history.csv_lines(AuditEvent.objects.all())), newline="")))


def test_an_export_has_the_same_hashed_columns_before_and_after_and_no_name_after(
    past: PromotionRequest, remy: User, ada: User
) -> None:
    before = exported()
    assert any("Remy" in row["actor_name"] for row in before)
    administration.pseudonymise(remy, reason=WHY, by=ada)
    after = exported()
    for old, new in zip(before, after, strict=False):
        assert {name: old[name] for name in history.COLUMNS} == {name: new[name] for name in history.COLUMNS}
    assert not any(name in str(row) for row in after for name in NAMES)


def test_a_note_in_mlflow_that_still_has_the_name_is_told_from_a_forged_one(
    past: PromotionRequest, remy: User, ada: User
) -> None:
    version = ModelVersion.objects.get(pk=past.version_id)
    version.description = approval_note.with_note("Ours.", note_of(past), limit=5000)
    version.save()
    # It was written under the name of that time, which the rename changed since.
    version.description = version.description.replace("Remy Ortiz-Lind", "Remy Ortiz")
    assert [each.doubt for each in note_claims.check(version)] == [""]
    administration.pseudonymise(remy, reason=WHY, by=ada)
    (note,) = note_claims.check(version)
    assert (note.doubt, note.has_erased_name) == ("", True)
    version.save()
    client = Client()
    client.force_login(ada)
    for address in (version.get_absolute_url(), past.get_absolute_url()):
        shown = text_of(client.get(address).content.decode())
        assert "It names a person who was pseudonymised since" in shown
        assert "Not written by Countersign" not in shown
        assert "Changed since it was written" not in shown
    version.description = version.description.replace("Rosa Lind", "Eve")
    (forged,) = note_claims.check(version)
    assert forged.doubt.startswith("Countersign wrote: ")
    nameless = f"Person {remy.pk} (pseudonymised)"
    version.description = version.description.replace("Eve", "Rosa Lind").replace(
        "Remy Ortiz <remy@example.com>", nameless
    )
    assert [(each.doubt, each.has_erased_name) for each in note_claims.check(version)] == [("", False)]


# --- The page ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def page(client: Client, person: User) -> str:
    return text_of(client.get(f"/people/{person.pk}/pseudonymise/").content.decode())


def test_the_page_lists_where_the_name_stays(
    admin: Client, past: PromotionRequest, rita: User, remy: User, staging: Target
) -> None:
    version = ModelVersion.objects.get(pk=past.version_id)
    version.tags = {"countersign.production.approved_by": "Remy Ortiz <remy@example.com>"}
    version.save()
    named = make_request(make_version(number=8), staging, by=rita, justification="Remy Ortiz wants it.")
    request = check(named)
    shown = page(admin, remy)
    assert "churn_predictor version 7" in shown
    assert f"Justification of request #{request.pk}" in shown
    assert "Person" in shown
    assert "Comment on request" not in shown
    assert {each.title for each in name_residue.of(administration.names_of(remy))} >= {
        "In MLflow",
        "In what people typed",
    }


def test_nothing_is_listed_where_nothing_is(admin: Client, remy: User) -> None:
    assert "Nowhere that Countersign knows of" in page(admin, remy)


def test_a_list_that_is_long_says_so(admin: Client, remy: User) -> None:
    for number in range(name_residue.MOST + 1):
        make_version("churn_predictor", description=f"{number} by Remy Ortiz")
    assert f"These are the first {name_residue.MOST}; there are more." in page(admin, remy)


@pytest.mark.parametrize("name", ["Zoë Ångström", 'Odo "the" O\'Neil_100%'])
def test_odd_names_are_found_in_json_too(name: str) -> None:
    person = make_person("Odo")
    User.objects.filter(pk=person.pk).update(name=name)
    person.refresh_from_db()
    make_version("churn_predictor", tags={"owner": f"team of {name}"})
    assert [each.title for each in name_residue.of(administration.names_of(person))] == ["In MLflow"]


def test_the_cost_does_not_grow_with_what_is_found(admin: Client, past: PromotionRequest, remy: User) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin.get(f"/people/{remy.pk}/pseudonymise/")
        return len(queries)

    make_version("one_model", description="Remy Ortiz")
    first = cost()
    for number in range(8):
        make_version(f"model_of_{number}", description="Remy Ortiz")
        past.comments.create(author=remy, body="I am Remy Ortiz.")
    assert cost() == first


def test_it_takes_the_typed_address_and_a_reason(admin: Client, past: PromotionRequest, remy: User) -> None:
    url = f"/people/{remy.pk}/pseudonymise/"
    for sent, message in [
        ({"reason": WHY, "email": "rosa@example.com"}, "The address does not match this person."),
        ({"reason": "", "email": remy.email}, "This field is required."),
        ({"reason": "Remy Ortiz left.", "email": remy.email}, "must not contain the name or the address"),
    ]:
        answer = admin.post(url, sent)
        assert answer.status_code == 422
        assert message in text_of(answer.content.decode())
    assert not User.objects.exclude(pseudonymised_at=None).exists()
    done: Any = admin.post(url, {"reason": WHY, "email": "REMY@example.com"}, follow=True)
    assert done.redirect_chain == [(f"/people/{remy.pk}/", 302)]
    shown = text_of(done.content.decode())
    assert f"Person {remy.pk} has no name here any more." in shown
    assert "Remy" not in shown
    assert 'name="roles"' not in done.content.decode()
    for address in (url, f"/people/{remy.pk}/active/"):
        assert admin.get(address).headers["Location"] == f"/people/{remy.pk}/"
    listed = text_of(admin.get("/people/").content.decode())
    assert f"Person {remy.pk} Pseudonymised" in listed
    events = text_of(admin.get("/history/").content.decode())
    assert f"Ada Brandt pseudonymised Person {remy.pk}" in events
    assert "Remy" not in events


def test_the_event_page_shows_the_name_to_people_and_the_token_in_what_is_hashed(
    client: Client, vera: User, past: PromotionRequest, remy: User
) -> None:
    client.force_login(vera)
    event = AuditEvent.objects.filter(actor=remy).order_by("sequence")[0]
    shown = text_of(client.get(event.get_absolute_url()).content.decode())
    assert "Actor Remy Ortiz <remy@example.com>" in shown
    token = Identity.objects.get(person=remy, label="Remy Ortiz <remy@example.com>").token
    assert f'"actor_label":"{token}"' in shown
    assert "The hash matches the content." in shown


def test_people_and_what_events_point_to_cannot_be_deleted(past: PromotionRequest, remy: User) -> None:
    for row in (remy, past, past.version, past.target, Identity.objects.filter(person=remy)[0].person):
        with pytest.raises(ProtectedError):
            row.delete()


MAY_GO = {
    "Alias",
    "Authenticator",
    "DigestTime",
    "EmailAddress",
    "Exhibit",
    "Notification",
    "NotificationChoice",
    "OutboxEntry",
    "RefreshHint",
    "Session",
    "SocialAccount",
    "WatchedPlace",
    "WebhookAttempt",
    "cache",
}
"""What only repeats MLflow, is a wish, a note of what is still to be done, or a way in; and what was sent or delivered
long ago, of which the events tell."""


def test_no_code_of_the_product_deletes_people_or_records() -> None:
    """docs/security.md says so, and what may go instead."""
    sources = [
        path
        for package in ("approvals", "registry_ui")
        for path in (ROOT / package).rglob("*.py")
        if not {"migrations", "demo"} & set(path.parts)
    ]
    calls = [
        (path, ast.unparse(node.func.value))
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "delete"
    ]
    assert len(calls) > 5
    assert {(path, text) for path, text in calls if text.partition(".")[0] not in MAY_GO} == set()
