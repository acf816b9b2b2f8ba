"""The whole room. Signing: a fresh proof and a meaning where the policy asks, the printed record, and who can never
sign."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Target
from approvals.policy import Actor, Proof, RequestFacts, SignatureRule, available_actions
from approvals.selectors import request_state, reviewers
from approvals.workflow import Invalid, NeedsReauthentication, NotAllowed
from mirror.models import ModelVersion
from tests.accounts.sessions import age
from tests.support.factories import PASSWORD, make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db
MODEL = "credit_risk"


@pytest.fixture
def asked(rita: User, production: Target) -> PromotionRequest:
    make_policy(MODEL, production, (1, None), signature=SignatureRule(True, 5, True))
    return make_request(make_version(MODEL), production, by=rita)


def sign(request: PromotionRequest, by: User, *, minutes: float = 0, **more: Any) -> Review:
    proof = Proof("passkey", timezone.now() - timedelta(minutes=minutes))
    return workflow.review(request, by=by, verdict="approve", **({"proof": proof, "meaning": "approved"} | more))


def test_a_signature_has_name_time_meaning_and_proof(asked: PromotionRequest, remy: User) -> None:
    review = sign(asked, remy)
    assert (review.signed_name, review.meaning, review.signed_with) == (remy.label, "approved", "passkey")
    assert review.fingerprint == asked.fingerprint
    told = AuditEvent.objects.get(action=Action.REVIEW_APPROVED).data
    assert (told["signed_name"], told["meaning"], told["signed_with"]) == (remy.label, "approved", "passkey")


@pytest.mark.parametrize("proof", [None, Proof("password", timezone.now() - timedelta(days=1))])
def test_no_or_an_old_proof_is_not_enough(asked: PromotionRequest, remy: User, proof: Proof | None) -> None:
    with pytest.raises(NeedsReauthentication, match="last 5 minutes"):
        sign(asked, remy, proof=proof)
    assert not Review.objects.exists()


def test_the_window_is_the_policys(asked: PromotionRequest, remy: User) -> None:
    with pytest.raises(NeedsReauthentication):
        sign(asked, remy, minutes=5.1)
    assert sign(asked, remy, minutes=4.9).pk


def test_an_approval_needs_its_meaning_and_one_that_there_is(asked: PromotionRequest, remy: User) -> None:
    for meaning, words in (("", "Choose what your signature means"), ("noted", "reviewed, approved or responsible")):
        with pytest.raises(Invalid, match=words):
            sign(asked, remy, meaning=meaning)


def test_the_printed_name_outlives_a_change_of_name(asked: PromotionRequest, remy: User) -> None:
    review = sign(asked, remy)
    remy.name = "Remy Ortiz-Lind"
    remy.save()
    review.refresh_from_db()
    assert review.signed_name == "Remy Ortiz <remy@example.com>"


def test_a_service_account_can_never_sign(asked: PromotionRequest) -> None:
    robot = make_person("Robot", "reviewer", is_service_account=True)
    assert request_state.of(asked, robot).actions["approve"].reason == (
        "Service accounts never sign; a person must review it."
    )
    for verdict in ("approve", "reject"):
        with pytest.raises(NotAllowed, match="never sign"):
            workflow.review(asked, by=robot, verdict=verdict, comment="Beep.", meaning="approved")
    assert robot.pk not in {person.id for person in reviewers.eligible()}


# --- In the browser's words -------------------------------------------------------------------------------------------


def form(request: PromotionRequest, **more: str) -> dict[str, str]:
    sent = {"verdict": "approve", "fingerprint": request.fingerprint, "meaning": "responsible", "comment": "As read."}
    return sent | more


def test_without_a_proof_the_page_asks_for_it_and_then_signs_what_was_typed(
    asked: PromotionRequest, remy: User, client: Client
) -> None:
    client.force_login(remy)  # a session without any proof
    address = f"{asked.get_absolute_url()}review/"
    answer = client.post(address, form(asked))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/reauthenticate/?next=")
    assert not Review.objects.exists()
    page = client.get(answer["Location"])
    assert page.status_code == 200
    wrong = client.post("/accounts/reauthenticate/", {"password": "not this", "next": address})
    assert wrong.status_code == 200
    assert not Review.objects.exists()
    right = client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": address})
    assert right.status_code == 302
    review = Review.objects.get()
    assert (review.comment, review.meaning, review.signed_with) == ("As read.", "responsible", "password")
    assert review.proof_at is not None
    html = client.get(asked.get_absolute_url()).content.decode()
    assert "meaning responsible · proved by password" in html


def test_a_fresh_sign_in_is_proof_enough_and_an_old_one_is_not(
    asked: PromotionRequest, remy: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/accounts/login/", {"login": remy.email, "password": PASSWORD})
    later = timezone.now() + timedelta(minutes=6)
    with monkeypatch.context() as moved:
        moved.setattr("django.utils.timezone.now", lambda: later)
        answer = client.post(f"{asked.get_absolute_url()}review/", form(asked))
        assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert client.post(f"{asked.get_absolute_url()}review/", form(asked)).status_code == 302
    assert Review.objects.get().signed_with == "password"


def test_somebody_without_password_or_second_factor_is_sent_to_set_one_up(
    asked: PromotionRequest, remy: User, client: Client
) -> None:
    remy.set_unusable_password()
    remy.save()
    client.force_login(remy)
    answer = client.post(f"{asked.get_absolute_url()}review/", form(asked))
    html = answer.content.decode()
    assert answer.status_code == 403
    assert "Set up an authenticator app or a passkey" in html
    assert "As read." in html
    assert not Review.objects.exists()


def test_the_form_asks_for_the_meaning_only_where_the_policy_does(
    asked: PromotionRequest, rita: User, remy: User, staging: Target, client: Client
) -> None:
    client.force_login(remy)
    assert 'name="meaning"' in client.get(asked.get_absolute_url()).content.decode()
    plain = make_request(make_version("plain"), staging, by=rita)
    assert 'name="meaning"' not in client.get(plain.get_absolute_url()).content.decode()
    answer = client.post(f"{asked.get_absolute_url()}review/", form(asked, meaning=""))
    assert answer.status_code == 422
    assert "Choose what your signature means" in answer.content.decode()


# --- What a proof is good for -----------------------------------------------------------------------------------------


@pytest.fixture
def proved(client: Client, remy: User) -> Client:
    """Remy's browser right after a sign-in with the password and "remember me"."""
    client.post("/accounts/login/", {"login": remy.email, "password": PASSWORD, "remember": "on"})
    return client


def send(client: Client, request: PromotionRequest, **more: str) -> Any:
    return client.post(f"{request.get_absolute_url()}review/", form(request, **more))


def test_a_remembered_session_is_no_proof(asked: PromotionRequest, proved: Client) -> None:
    age(proved, 5 * 60 + 1)
    assert send(proved, asked)["Location"].startswith("/accounts/reauthenticate/")
    assert not Review.objects.exists()


def test_the_policys_window_holds_where_a_longer_one_is_set_for_accounts(
    asked: PromotionRequest, proved: Client, settings: Any
) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 24 * 3600
    proved.post("/accounts/reauthenticate/", {"password": PASSWORD})
    age(proved, 5 * 60 + 1)
    assert proved.get("/accounts/2fa/totp/activate/").status_code == 200  # the longer one, which is for other pages
    assert send(proved, asked)["Location"].startswith("/accounts/reauthenticate/")
    assert not Review.objects.exists()


def test_one_proof_serves_all_signatures_within_the_window_and_none_after_it(
    asked: PromotionRequest, proved: Client, rita: User, production: Target
) -> None:
    version = make_version(MODEL, 2)
    asked.refresh_from_db()
    assert send(proved, asked).status_code == 302
    other = make_request(version, production, by=rita)
    age(proved, 5 * 60 + 1)
    assert send(proved, other)["Location"].startswith("/accounts/reauthenticate/")
    assert [review.request_id for review in Review.objects.all()] == [asked.pk]


def test_a_proof_counts_in_its_own_browser_alone(asked: PromotionRequest, proved: Client, remy: User) -> None:
    other = Client()
    other.force_login(remy)
    assert send(other, asked)["Location"].startswith("/accounts/reauthenticate/")
    assert not Review.objects.exists()


def test_what_somebody_else_proved_in_the_same_browser_does_not_count(
    asked: PromotionRequest, proved: Client, rosa: User
) -> None:
    proved.force_login(rosa)
    assert send(proved, asked)["Location"].startswith("/accounts/reauthenticate/")
    assert not Review.objects.exists()


def test_a_decision_that_was_left_is_not_signed_by_a_proof_for_something_else(
    asked: PromotionRequest, proved: Client
) -> None:
    age(proved, 5 * 60 + 1)
    assert send(proved, asked)["Location"].startswith("/accounts/reauthenticate/")
    proved.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"})
    assert not Review.objects.exists()
    # Nor is it kept for later.
    proved.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": f"{asked.get_absolute_url()}review/"})
    assert not Review.objects.exists()


def test_evidence_that_changed_while_the_proof_was_given_is_not_signed(asked: PromotionRequest, proved: Client) -> None:
    age(proved, 5 * 60 + 1)
    address = f"{asked.get_absolute_url()}review/"
    send(proved, asked)
    ModelVersion.objects.filter(pk=asked.version_id).update(metrics={"auc_roc": 0.1})
    answer = proved.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": address})
    assert answer.status_code == 409
    assert "As read." in answer.content.decode()
    assert not Review.objects.exists()


def test_a_decision_needs_the_token_of_its_form_before_and_the_proof_after(asked: PromotionRequest, remy: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(remy)
    assert send(strict, asked).status_code == 403
    assert strict.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 403
    assert not Review.objects.exists()


def test_a_service_account_overrides_no_check_either() -> None:
    permissions = frozenset({"approvals.override_check"})
    facts = RequestFacts("checking", "In checks", {1}, [], False, "", frozenset(), "", blocked_by=["Files are hashed"])
    answers = [available_actions(Actor(2, permissions, each), facts)["override"] for each in (False, True)]
    assert [answer.is_allowed for answer in answers] == [True, False]


# --- The certificate --------------------------------------------------------------------------------------------------


def test_there_is_a_certificate_once_all_approvals_are_given(
    asked: PromotionRequest, remy: User, vera: User, client: Client
) -> None:
    client.force_login(vera)
    address = f"{asked.get_absolute_url()}certificate/"
    assert client.get(address).status_code == 404
    review = sign(asked, remy, comment="Checked the segments.")
    asked.refresh_from_db()
    html = " ".join(client.get(address).content.decode().split())
    for text in (
        "credit_risk</bdi> version 1 is approved for Production (stage Production and alias @champion in MLflow)",
        "Remy Ortiz &lt;remy@example.com&gt;",
        f"{review.created_at:%Y-%m-%d %H:%M:%S} UTC",
        'data-label="Meaning">Approved',
        "passkey",
        "Checked the segments.",
        asked.fingerprint,
        "d" * 64,
        "Model files are hashed: passed.",
        AuditEvent.objects.get(action=Action.REQUEST_APPROVED).hash,
    ):
        assert text in html


def test_a_rejected_request_has_no_certificate(asked: PromotionRequest, remy: User, client: Client) -> None:
    workflow.review(
        asked, by=remy, verdict="reject", comment="No.", proof=Proof("password", timezone.now()), meaning=""
    )
    client.force_login(remy)
    assert client.get(f"{asked.get_absolute_url()}certificate/").status_code == 404
