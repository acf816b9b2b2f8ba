"""The pages of roll back, break-glass and probation: what stands on them, what comes back, and how loud they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Probation, PromotionRequest, Target, Tenure
from approvals.policy import ProbationRule, SignatureRule
from approvals.views import urgent
from mirror.models import ModelVersion
from tests.support.factories import PASSWORD, make_policy
from tests.support.fakes import FakeRegistry
from tests.support.pages import text_of
from tests.support.world import MODEL, REASON, break_glass, deliver, promote, promoted_twice

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def kept_registry(kept: None) -> FakeRegistry:
    return promoted_twice()


@pytest.fixture
def second(db: None, kept_registry: FakeRegistry) -> PromotionRequest:
    return PromotionRequest.objects.get(version__number=2)


@pytest.fixture
def broken(registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target) -> PromotionRequest:
    request = break_glass(3, production, by=otto)
    deliver(request, registry)
    return request


def tidy(page: str) -> str:
    """As a person reads it: a tag before a full stop is no space."""
    return text_of(page).replace(" .", ".").replace(" ,", ",")


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def signed_in(person: User) -> Client:
    """Through the login form, so that the session has a proof of who it is."""
    client = Client()
    answer = client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert answer.status_code == 302
    return client


def read(person: User, address: str) -> str:
    answer = client_of(person).get(address)
    assert answer.status_code == 200
    return tidy(answer.content.decode())


def back_address(target: Target) -> str:
    return f"/models/{MODEL}/roll-back/{target.pk}/"


# --- Roll back --------------------------------------------------------------------------------------------------------


def test_the_model_page_offers_the_way_back_to_those_who_may(
    second: PromotionRequest, otto: User, vera: User, production: Target, staging: Target
) -> None:
    page = client_of(otto).get(f"/models/{MODEL}/").content.decode()
    assert back_address(production) in page
    assert back_address(staging) not in page  # nothing held it before
    assert back_address(production) not in client_of(vera).get(f"/models/{MODEL}/").content.decode()


def test_the_page_says_from_what_to_what_and_who_approved_it_then(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    text = read(otto, back_address(production))
    first = PromotionRequest.objects.get(version__number=1)
    for words in (
        "Version 2 is there now.",
        "Version 1 the last approved holder",
        f"in request #{first.pk}",
        "version 2 is archived",
        "You. Countersign delivers it immediately.",
        "auc_roc",
    ):
        assert words in text


def test_one_click_and_a_reason_do_it(second: PromotionRequest, otto: User, production: Target) -> None:
    sent = {"to": "1", "leaving": "2", "reason": REASON}
    answer = client_of(otto).post(back_address(production), sent, follow=True)
    text = tidy(answer.content.decode())
    assert "Roll back Production to churn_predictor v1 (replaces v2)" in text
    assert "Rolled back by Otto Reyes" in text
    assert "may roll back without another approval" in text
    assert PromotionRequest.objects.get(kind="rollback").status == "approved"


def test_a_second_click_leads_to_the_first_request(second: PromotionRequest, otto: User, production: Target) -> None:
    sent, client = {"to": "1", "leaving": "2", "reason": REASON}, client_of(otto)
    answers = [client.post(back_address(production), sent) for _ in range(2)]
    made = PromotionRequest.objects.get(kind="rollback")
    assert answers[0]["Location"] == made.get_absolute_url()
    assert (answers[1].status_code, answers[1].context["request_"]) == (409, made)


def test_who_read_of_another_holder_is_told_and_goes_on(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    sent, client = {"to": "1", "leaving": "1", "reason": REASON}, client_of(otto)
    answer = client.post(back_address(production), sent)
    assert answer.status_code == 409
    assert "Version 2 holds Production now, not version 1." in tidy(answer.content.decode())
    assert (answer.context["form"]["leaving"].value(), answer.context["form"]["reason"].value()) == ("2", REASON)
    assert client.post(back_address(production), sent | {"leaving": "2"}).status_code == 302


def test_what_was_typed_comes_back(second: PromotionRequest, otto: User, production: Target) -> None:
    answer = client_of(otto).post(back_address(production), {"to": "7", "leaving": "2", "reason": "Broken."})
    assert answer.status_code == 422
    assert "Broken." in answer.content.decode()
    assert not PromotionRequest.objects.filter(kind="rollback").exists()


def test_without_an_earlier_holder_the_page_says_so(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target, staging: Target
) -> None:
    promote(registry, 1, production, by=rita, approvers=(remy, rosa))
    assert "No earlier version to roll back to." in read(otto, back_address(production))
    assert "No earlier version to roll back to." in read(otto, back_address(staging))


def test_the_page_asks_as_often_however_many_tenures_there_are(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    now, client = timezone.now(), client_of(otto)

    def more(count: int) -> None:
        Tenure.objects.bulk_create(
            Tenure(
                model_name=MODEL,
                version_number=1,
                target=production,
                place="Production",
                origin="delivery",
                started_at=now - timedelta(days=2),
                ended_at=now - timedelta(days=1),
                end="replaced",
                request=second,
            )
            for _ in range(count)
        )

    with CaptureQueriesContext(connection) as before:
        client.get(back_address(production))
    more(40)
    with CaptureQueriesContext(connection) as after:
        client.get(back_address(production))
    assert len(after) == len(before)


# --- Break-glass ------------------------------------------------------------------------------------------------------


def glass_address(target: Target, number: int = 3) -> str:
    return f"/models/{MODEL}/versions/{number}/break-glass/{target.pk}/"


def test_the_version_page_offers_it_to_those_who_may_alone(
    second: PromotionRequest, otto: User, remy: User, production: Target
) -> None:
    address = f"/models/{MODEL}/versions/3/"
    assert glass_address(production) in client_of(otto).get(address).content.decode()
    assert glass_address(production) not in client_of(remy).get(address).content.decode()


def test_it_asks_for_the_name_of_the_model_and_for_a_real_reason(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    client = signed_in(otto)
    for sent, words in (
        ({"reason": REASON, "model_name": "churn"}, "This is not the name of the model."),
        ({"reason": "urgent", "model_name": MODEL}, "at least 20 characters"),
    ):
        answer = client.post(glass_address(production), {"target": "Production", **sent})
        assert answer.status_code == 422
        assert words in tidy(answer.content.decode())
        assert sent["reason"] in tidy(answer.content.decode())
    assert not PromotionRequest.objects.filter(kind="break_glass").exists()


def test_with_a_fresh_proof_it_goes_ahead(second: PromotionRequest, otto: User, production: Target) -> None:
    sent = {"target": "Production", "reason": REASON, "model_name": MODEL}
    answer = signed_in(otto).post(glass_address(production), sent, follow=True)
    text = tidy(answer.content.decode())
    assert "Emergency promotion: churn_predictor v3 to Production (replaces v2)" in text
    assert "Promoted without approval by Otto Reyes" in text
    assert "Not approved. It went ahead instead of 2 approvals from any reviewer." in text


def test_without_a_proof_it_is_asked_for_and_then_done(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    sent = {"target": "Production", "reason": REASON, "model_name": MODEL}
    client = client_of(otto)
    asked = client.post(glass_address(production), sent)
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert not PromotionRequest.objects.filter(kind="break_glass").exists()
    done = client.post(asked["Location"], {"password": PASSWORD}, follow=True)
    assert "Promoted without approval by Otto Reyes" in tidy(done.content.decode())
    assert PromotionRequest.objects.get(kind="break_glass").requester == otto


def test_an_old_proof_does_not_do(second: PromotionRequest, otto: User, production: Target) -> None:
    make_policy("*", production, (2, None), signature=SignatureRule(within_minutes=1))
    client = signed_in(otto)
    session = client.session
    session["account_authentication_methods"][0]["at"] -= 90
    session.save()
    sent = {"target": "Production", "reason": REASON, "model_name": MODEL}
    assert client.post(glass_address(production), sent)["Location"].startswith("/accounts/reauthenticate/")


def test_who_has_nothing_to_prove_with_is_refused_with_the_reason(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    otto.set_unusable_password()
    otto.save()
    sent = {"target": "Production", "reason": REASON, "model_name": MODEL}
    answer = client_of(otto).post(glass_address(production), sent)
    assert answer.status_code == 403
    assert "Set up an authenticator app or a passkey" in tidy(answer.content.decode())
    assert REASON in tidy(answer.content.decode())
    assert not PromotionRequest.objects.filter(kind="break_glass").exists()


@pytest.mark.parametrize("page", ["request", "model", "version", "certificate"])
def test_it_is_loud_on_every_page_that_shows_it(broken: PromotionRequest, vera: User, page: str) -> None:
    address = {
        "request": f"/requests/{broken.pk}/",
        "model": f"/models/{MODEL}/",
        "version": f"/models/{MODEL}/versions/3/",
        "certificate": f"/requests/{broken.pk}/certificate/",
    }[page]
    text = read(vera, address)
    assert "Promoted without approval: emergency promotion by Otto Reyes." in text
    assert "Not reviewed yet." in text
    assert "1 emergency promotion waits for review." in text


def test_everybody_sees_that_a_review_is_owed_until_it_is_done(
    broken: PromotionRequest, vera: User, remy: User
) -> None:
    assert "1 emergency promotion waits for review." in read(vera, "/models/")
    PromotionRequest.objects.filter(pk=broken.pk).update(afterwards_due_at=timezone.now() - timedelta(minutes=1))
    assert "waits for review; it is overdue" in read(vera, "/models/")
    assert "Its review is overdue" in read(vera, f"/requests/{broken.pk}/")
    workflow.review_afterwards(broken, by=remy, verdict="justified", comment="The numbers were right.")
    assert "break-glass promotion" not in read(vera, "/models/")
    text = read(vera, f"/models/{MODEL}/versions/3/")
    assert "Reviewed afterwards: justified, by Remy Ortiz" in text


def test_the_inbox_has_it_for_those_who_may_review_it(
    broken: PromotionRequest, remy: User, otto: User, vera: User
) -> None:
    assert "Emergency promotion: not reviewed review due" in " ".join(read(remy, "/").split())
    assert "Emergency promotion: not reviewed" not in read(otto, "/")
    assert "Emergency promotion: not reviewed" in read(vera, "/?tab=others")
    assert "Emergency promotion: not reviewed" in read(vera, "/?tab=glass")


def test_a_reviewer_reviews_it_on_its_page_and_is_offered_the_way_back(
    broken: PromotionRequest, remy: User, production: Target
) -> None:
    client = client_of(remy)
    address = f"/requests/{broken.pk}/afterwards/"
    unsaid = client.post(address, {"verdict": "not_justified", "comment": ""})
    assert unsaid.status_code == 422
    answer = client.post(address, {"verdict": "not_justified", "comment": "It could have waited."}, follow=True)
    page = answer.content.decode()
    assert "It was not justified, and version 3 is still in Production." in tidy(page)
    assert back_address(production) in page


def test_who_broke_it_is_told_why_they_cannot_review_it(broken: PromotionRequest, otto: User) -> None:
    assert "You promoted it, so another person must review it." in read(otto, f"/requests/{broken.pk}/")


def test_the_record_is_no_certificate_of_approval(broken: PromotionRequest, vera: User) -> None:
    text = read(vera, f"/requests/{broken.pk}/certificate/")
    assert "Emergency promotion record" in text
    assert "version 3 was promoted to Production without approval" in text
    assert "Not approved." in text
    assert "Approval certificate" not in text
    assert "is approved for" not in text


# --- Probation --------------------------------------------------------------------------------------------------------


@pytest.fixture
def provisional(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, production: Target
) -> PromotionRequest:
    make_policy("*", production, (1, None), probation=ProbationRule(24))
    return promote(registry, 3, production, by=rita, approvers=(remy,))


def health(person: User, request: PromotionRequest) -> str:
    return client_of(person).get(f"/requests/{request.pk}/").content.decode()


def test_the_page_says_until_when_and_shows_the_address_to_those_who_may_see_it(
    provisional: PromotionRequest, rita: User, remy: User, vera: User, ada: User
) -> None:
    token = Probation.objects.get().token
    assert "On probation until" in tidy(health(vera, provisional))
    assert [token in health(person, provisional) for person in (rita, ada, remy, vera)] == [True, True, False, False]


def test_a_reviewer_confirms_on_the_page(provisional: PromotionRequest, remy: User, vera: User) -> None:
    assert "On probation until" in read(remy, f"/models/{MODEL}/")
    assert "on probation, ends" in read(remy, "/")
    answer: Any = client_of(remy).post(f"/requests/{provisional.pk}/confirm/", {"comment": "Fine."}, follow=True)
    assert "Confirmed after its probation by Remy Ortiz." in tidy(answer.content.decode())
    assert "on probation" not in read(remy, "/")


def test_the_outcome_stands_on_the_request(provisional: PromotionRequest, vera: User) -> None:
    Probation.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    workflow.end_due_probations()
    text = read(vera, f"/requests/{provisional.pk}/")
    assert "Did not pass its probation: it is being rolled back." in text
    assert "It was not confirmed in time." in text
    back = PromotionRequest.objects.get(kind="rollback")
    assert "It follows a failed probation and needs no approval." in read(vera, f"/requests/{back.pk}/")
    assert "Rolled back by Countersign" in read(vera, f"/requests/{back.pk}/")


def test_the_programs_own_account_is_not_among_the_people(provisional: PromotionRequest, ada: User) -> None:
    account = User.objects.countersign()
    assert "countersign.invalid" not in read(ada, "/people/")
    assert client_of(ada).get(f"/people/{account.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("stage", "held_in", "sentence"),
    [
        ("Production", [], "Version 1 gets stage Production."),
        ("Production", ["Production"], "Version 1 gets stage Production; version 3 is archived."),
        (
            "Production",
            ["Production", "Production"],
            "Version 1 gets stage Production; version 3 is archived, and so is what else is in the stage.",
        ),
        ("", ["Production"], "Version 1 gets alias @champion; version 3 loses it."),
    ],
)
def test_what_going_back_changes_is_told(stage: str, held_in: list[str], sentence: str) -> None:
    target = Target(name="Production", stage=stage, alias="" if stage else "champion")
    holders = [ModelVersion(number=number, stage=each) for number, each in zip((3, 2), held_in, strict=False)]
    assert urgent._effect(1, target, holders) == sentence
