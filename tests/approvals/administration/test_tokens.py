"""Verbs on API tokens and service accounts: who may, what is refused, and what the ledger has of it."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken, User
from approvals import administration, ledger, workflow
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, Target
from approvals.workflow import Invalid, NotAllowed
from tests.support.factories import make_person, make_service_account, make_token, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def robot(rita: User, ada: User) -> User:
    return make_service_account(owner=rita)


def last(action: Action) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("sequence")


def test_people_make_their_own(rita: User, ada: User) -> None:
    token, text = administration.make_token(rita, name=" ci  train ", scopes=["requests:write", "read"], by=rita)
    assert (token.name, token.scopes, token.made_by) == ("ci train", ["read", "requests:write"], rita)
    assert round((token.expires_at - timezone.now()).total_seconds() / 86400) == 90
    told = last(Action.TOKEN_MADE)
    assert text[10:] not in told.payload
    assert token.digest not in told.payload
    assert rita.email not in told.payload
    assert sentences.sentence(told) == "made the API token ci train"
    for other in (ada, make_person("Paul Ito", "requester")):
        with pytest.raises(NotAllowed, match="People make their own tokens"):
            administration.make_token(rita, name="x", scopes=["read"], by=other)


def test_only_its_owner_makes_tokens_of_a_service_account(robot: User, rita: User, ada: User) -> None:
    administration.make_token(robot, name="ci", scopes=["read"], by=rita)
    assert sentences.sentence(last(Action.TOKEN_MADE)) == "made the API token ci of train-bot"
    with pytest.raises(NotAllowed, match="Only the owner"):
        administration.make_token(robot, name="other", scopes=["read"], by=ada)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "  "}, "Enter what the token is for"),
        ({"name": "x" * 81}, "Enter what the token is for"),
        ({"name": "a\u202eb"}, "Enter what the token is for"),
        ({"scopes": []}, "at least one scope"),
        ({"scopes": ["read", "everything"]}, "no scope everything"),
        ({"days": 0}, "at most 365 days"),
        ({"days": 366}, "at most 365 days"),
        ({"name": "CI"}, "Another token has this name"),
    ],
)
def test_what_is_refused(rita: User, given: dict[str, object], message: str) -> None:
    make_token(rita, name="ci")
    with pytest.raises(Invalid, match=message):
        administration.make_token(rita, **({"name": "new", "scopes": ["read"], "by": rita} | given))  # type: ignore[arg-type]
    assert ApiToken.objects.count() == 1


def test_a_service_account_cannot_have_the_scope_of_reviews(robot: User, rita: User) -> None:
    with pytest.raises(Invalid, match="never signs"):
        administration.make_token(robot, name="ci", scopes=["reviews:write"], by=rita)


def test_there_is_an_end_to_how_many(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.administration.tokens.MOST_LIVE", 2)
    make_token(rita, name="1")
    make_token(rita, name="2")
    with pytest.raises(Invalid, match="There are 2 tokens already"):
        make_token(rita, name="3")
    administration.revoke_token(ApiToken.objects.get(name="1"), by=rita)
    make_token(rita, name="3")


def test_who_may_revoke(robot: User, rita: User, remy: User, ada: User) -> None:
    make_token(robot)
    token = ApiToken.objects.get()
    with pytest.raises(NotAllowed, match="Only administrators"):
        administration.revoke_token(token, by=remy)
    assert administration.revoke_token(token, by=rita)
    assert not administration.revoke_token(token, by=ada)
    token.refresh_from_db()
    assert token.revoked_by == rita
    assert AuditEvent.objects.filter(action=Action.TOKEN_REVOKED).count() == 1
    make_token(rita)
    assert administration.revoke_token(ApiToken.objects.get(account=rita), by=ada)


ENDINGS: dict[str, Callable[[User, User, User], object]] = {
    "deactivated": lambda person, ada, _: administration.set_active(person, is_active=False, by=ada),
    "pseudonymised": lambda person, ada, _: administration.pseudonymise(person, reason="Asked for it.", by=ada),
    "became a service account": lambda person, ada, remy: administration.set_person(
        person, groups=[], mlflow_names=[], is_service_account=True, owner=remy, by=ada
    ),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_tokens_end_with_what_ends_their_person(rita: User, remy: User, ada: User, how: str) -> None:
    text = make_token(rita)
    tokens.authenticate(text, address="203.0.113.7")
    ENDINGS[how](rita, ada, remy)
    token = ApiToken.objects.get()
    assert (token.is_live, token.revoked_by) == (False, ada)
    assert token.last_used_from == ("" if how == "pseudonymised" else "203.0.113.7")
    assert tokens.authenticate(text, address="") == tokens.REVOKED
    assert ledger.verify(with_references=True).problem == ""
    assert AuditEvent.objects.filter(payload__contains='"revoked_tokens":["ci-train"]').count() == 1


def test_they_do_not_come_back(rita: User, ada: User) -> None:
    text = make_token(rita)
    administration.set_active(rita, is_active=False, by=ada)
    administration.set_active(rita, is_active=True, by=ada)
    assert tokens.authenticate(text, address="") == tokens.REVOKED


def test_with_another_owner_its_tokens_end(robot: User, rita: User, remy: User, ada: User) -> None:
    """The former owner has the secret, and does not count as the requester any more."""
    text, groups = make_token(robot), list(robot.groups.all())
    administration.set_person(robot, groups=groups, mlflow_names=["tb"], is_service_account=True, owner=rita, by=ada)
    assert isinstance(tokens.authenticate(text, address=""), tokens.Identity)
    administration.set_person(robot, groups=groups, mlflow_names=["tb"], is_service_account=True, owner=remy, by=ada)
    assert tokens.authenticate(text, address="") == tokens.REVOKED


# --- Service accounts -------------------------------------------------------------------------------------------------


def test_a_service_account_is_made_with_its_owner(rita: User, ada: User, production: Target) -> None:
    robot = make_service_account("Train Bot", owner=rita)
    told = last(Action.SERVICE_ACCOUNT_MADE)
    assert sentences.sentence(told).startswith("added the service account Train Bot")
    assert (robot.email, robot.owner) == ("train-bot@service-account.invalid", rita)
    assert ledger.verify(with_references=True).problem == ""
    request = workflow.request_promotion(make_version(), production, by=robot, justification="Better.")
    assert request.owner == rita


def test_who_may_not_make_one_and_which(rita: User, remy: User, ada: User, robot: User) -> None:
    with pytest.raises(NotAllowed, match="Only administrators"):
        administration.make_service_account(name="x", owner=rita, by=rita)
    gone = make_person("Gone Person", is_active=False)
    for owner in (gone, robot):
        with pytest.raises(Invalid, match="needs an owner"):
            administration.make_service_account(name="x", owner=owner, by=ada)
    for name in ("", "!", "\u202eb", "Train Bot"):
        with pytest.raises(Invalid, match=r"Enter a name|Another service account"):
            administration.make_service_account(name=name, owner=rita, by=ada)
    reviewer = Group.objects.get(name="reviewer")
    with pytest.raises(Invalid, match="can never sign"):
        administration.make_service_account(name="x", owner=rita, groups=[reviewer], by=ada)
