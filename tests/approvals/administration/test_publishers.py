"""Trusted publishers: an identity token of a job becomes an API token, once, for the repository, ref and environment
that the owner of the service account trusted; and nothing else does."""

import base64
import hmac
import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from django.core.cache import cache
from django.utils import timezone

from accounts import id_tokens, tokens
from accounts.models import ApiToken, TrustedPublisher, User
from approvals import administration, ledger, workflow
from approvals.ledger import machines, sentences
from approvals.models import Action, AuditEvent, Target
from approvals.workflow import Invalid, NotAllowed
from tests.support import issuer as issuers
from tests.support.factories import make_person, make_service_account, make_version
from tests.support.issuer import Issuer

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with issuers.running() as found:
        yield found


@pytest.fixture
def issuer(running: Issuer, settings: Any) -> Iterator[Issuer]:
    """With one key, that nobody has asked for."""
    cache.clear()
    settings.TOKEN_ISSUERS = [running.url]
    running.keys, running.asked, running.answer = {"one": running.keys["one"]}, 0, None
    yield running
    cache.clear()


@pytest.fixture(scope="module")
def made(kept: None) -> User:
    rita = make_person("Rita Sanz", "requester")
    make_person("Remy Ortiz", "reviewer")
    make_person("Ada Brandt", "administrator")
    return make_service_account(owner=rita)


@pytest.fixture
def robot(db: None, made: User) -> User:
    return User.objects.get(pk=made.pk)


def trust(robot: User, at: Issuer, **given: Any) -> TrustedPublisher:
    terms: dict[str, Any] = {
        "provider": "github",
        "issuer": at.url,
        "repository": "acme/churn",
        "ref": "refs/heads/main",
        "scopes": ["read", "requests:write"],
        "by": robot.owner,
    }
    return administration.add_publisher(robot, **(terms | given))


@pytest.fixture
def trusted(robot: User, issuer: Issuer) -> TrustedPublisher:
    return trust(robot, issuer)


def audience() -> str:
    from django.conf import settings

    return str(settings.SITE_URL)


def code_of(id_token: str) -> str:
    with pytest.raises((administration.NotProven, administration.NotNow)) as refused:
        administration.exchange(id_token)
    assert ApiToken.objects.filter(expires_at__gt=timezone.now() + timedelta(minutes=16)).count() == 0
    return refused.value.code


# --- What is exchanged ------------------------------------------------------------------------------------------------


def test_a_job_of_github_gets_a_token_for_fifteen_minutes(
    trusted: TrustedPublisher, robot: User, rita: User, issuer: Issuer, production: Target
) -> None:
    row, text = administration.exchange(issuer.github(audience()))
    found = tokens.authenticate(text, address="203.0.113.7")
    assert isinstance(found, tokens.Identity)
    assert (found.user, found.scopes) == (robot, {"read", "requests:write"})
    assert timedelta(minutes=14) < row.expires_at - timezone.now() <= timedelta(minutes=15)
    told = AuditEvent.objects.get(action=Action.TOKEN_EXCHANGED)
    assert sentences.sentence(told) == "got an API token for 15 minutes, for a job of acme/churn"
    assert (told.actor, told.data["run"]) == (robot, f"{issuer.url}/acme/churn/actions/runs/8123")
    assert text[10:] not in told.payload
    # What the job does then links to the run that its issuer named, whatever it says itself.
    with workflow.acting(found, run="https://elsewhere.example.com/1"):
        request = workflow.request_promotion(make_version(), production, by=robot, justification="Better.")
    machine = machines.of(request.events.get())
    assert machine is not None
    assert machine.run == row.run
    assert request.owner == rita
    assert ledger.verify(with_references=True).problem == ""


def test_a_job_of_gitlab(robot: User, issuer: Issuer) -> None:
    trust(robot, issuer, provider="gitlab", repository="acme/ml/churn", environment="production")
    assert code_of(issuer.gitlab(audience())) == "not_trusted"
    row, _ = administration.exchange(issuer.gitlab(audience(), environment="production"))
    assert row.run == f"{issuer.url}/acme/ml/churn/-/jobs/91"
    assert row.name == "acme/ml/churn"


@pytest.mark.parametrize(
    ("terms", "claims", "expected"),
    [
        ({}, {}, ""),
        ({}, {"repository": "ACME/Churn"}, ""),
        ({}, {"repository": "acme/churn2"}, "not_trusted"),
        ({}, {"repository": "evil/acme/churn"}, "not_trusted"),
        ({}, {"ref": "refs/heads/main2"}, "not_trusted"),
        ({}, {"ref": "refs/tags/main"}, "not_trusted"),
        ({}, {"ref": "refs/pull/7/merge"}, "not_trusted"),
        ({"ref": "refs/tags/v*"}, {"ref": "refs/tags/v1.2"}, ""),
        ({"ref": "refs/tags/v*"}, {}, "not_trusted"),
        ({}, {"environment": "production"}, ""),
        ({"environment": "production"}, {"environment": "production"}, ""),
        ({"environment": "production"}, {"environment": "staging"}, "not_trusted"),
        ({"environment": "production"}, {}, "not_trusted"),
        ({}, {"ref": None}, "id_token_invalid"),
        ({}, {"repository": {"a": 1}}, "id_token_invalid"),
        ({}, {"repository_id": None}, "id_token_invalid"),
        ({}, {"run_id": "x" * 301}, "id_token_invalid"),
    ],
)
def test_repository_ref_and_environment_bind(
    robot: User, issuer: Issuer, terms: dict[str, str], claims: dict[str, Any], expected: str
) -> None:
    trust(robot, issuer, **terms)
    id_token = issuer.github(audience(), **claims)
    if expected:
        assert code_of(id_token) == expected
    else:
        administration.exchange(id_token)


def test_another_repository_that_took_the_name_over_is_not_it(trusted: TrustedPublisher, issuer: Issuer) -> None:
    administration.exchange(issuer.github(audience()))
    trusted.refresh_from_db()
    assert trusted.repository_id == "7401"
    assert code_of(issuer.github(audience(), repository_id="9999")) == "repository_replaced"


def test_each_identity_token_is_taken_once(trusted: TrustedPublisher, issuer: Issuer) -> None:
    id_token = issuer.github(audience())
    administration.exchange(id_token)
    events = AuditEvent.objects.count()
    assert code_of(id_token) == "id_token_used"
    assert (ApiToken.objects.count(), AuditEvent.objects.count()) == (1, events)


# --- What is not an identity token of the issuer ----------------------------------------------------------------------


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def test_forged_ones(trusted: TrustedPublisher, issuer: Issuer) -> None:
    good = issuer.github(audience())
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    public = (
        issuer.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    hs256 = f"{part({'alg': 'HS256', 'kid': 'one'})}.{body}"
    mac = hmac.digest(public, hs256.encode(), "sha256")
    other = Issuer()
    forged = {
        "alg none": f"{part({'alg': 'none', 'kid': 'one'})}.{body}.",
        "alg None": f"{part({'alg': 'None', 'kid': 'one'})}.{body}.{signature}",
        "HS256 with the public key": f"{hs256}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "another key under its name": issuer.signed(claims, key=other.keys["one"]),
        "changed claims": f"{head}.{part(claims | {'repository': 'acme/other'})}.{signature}",
        "no signature": f"{head}.{body}.",
        "unknown key": issuer.signed(claims, kid="two", key=other.keys["one"]),
        "no name of the key": issuer.signed(claims).replace(head, part({"alg": "RS256"})),
        "a key in its head": f"{part({'alg': 'RS256', 'jwk': {}, 'kid': 'three'})}.{body}.{signature}",
    }
    assert {name: code_of(text) for name, text in forged.items()} == dict.fromkeys(forged, "id_token_invalid")
    administration.exchange(good)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": "https://elsewhere.example.com"}, "wrong_audience"),
        ({"aud": None}, "id_token_invalid"),
        ({"exp": 1}, "id_token_expired"),
        ({"exp": None}, "id_token_invalid"),
        ({"jti": None}, "id_token_invalid"),
        ({"jti": ""}, "id_token_invalid"),
        ({"nbf": 4_000_000_000}, "id_token_invalid"),
        ({"iss": "http://127.0.0.1:9"}, "issuer_unknown"),
        ({"iss": None}, "issuer_unknown"),
    ],
)
def test_claims_that_do_not_fit(
    trusted: TrustedPublisher, issuer: Issuer, claims: dict[str, Any], expected: str
) -> None:
    assert code_of(issuer.github(audience(), **claims)) == expected


def test_clocks_may_differ_by_a_minute(trusted: TrustedPublisher, issuer: Issuer) -> None:
    now = int(time.time())
    administration.exchange(issuer.github(audience(), exp=now - 30))
    administration.exchange(issuer.github(audience(), iat=now + 30, nbf=now + 30))
    assert code_of(issuer.github(audience(), exp=now - 90)) == "id_token_expired"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "." * 9, "é.é.é", "x" * 20_000, part({"alg": "RS256"}) + "..x"])
def test_what_is_none_at_all(trusted: TrustedPublisher, issuer: Issuer, text: str) -> None:
    assert code_of(text) == "id_token_malformed"
    assert issuer.asked == 0


# --- What is asked of the issuer --------------------------------------------------------------------------------------


def test_keys_are_asked_for_once_and_again_for_a_new_one(
    trusted: TrustedPublisher, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        administration.exchange(issuer.github(audience()))
    assert issuer.asked == 1
    issuer.add_key("two")
    new = issuer.signed({"aud": audience(), **claims_of(issuer)}, kid="two")
    assert code_of(new) == "id_token_invalid"  # it was asked less than a minute ago
    cache.delete(f"id-token-keys:{issuer.url}:fetched")
    administration.exchange(new)
    assert issuer.asked == 2


def claims_of(issuer: Issuer) -> dict[str, Any]:
    body = issuer.github(audience()).split(".")[1]
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    return {name: told[name] for name in ("repository", "repository_id", "ref", "run_id")}


def test_no_one_can_have_it_asked_all_the_time(trusted: TrustedPublisher, issuer: Issuer) -> None:
    for number in range(5):
        code_of(issuer.signed({"aud": audience()}, kid=f"unknown {number}", key=issuer.keys["one"]))
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b""),
        (302, {"Location": "http://127.0.0.1:9/keys"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"keys": 7}'),
        (200, {}, b'{"keys": ["x"]}'),
        (200, {}, b'{"keys": [' + b" " * 300_000 + b"]}"),
        (200, {"Content-Length": "999999"}, b'{"keys": []}'),
    ],
)
def test_an_issuer_that_does_not_answer_as_it_should(
    trusted: TrustedPublisher, issuer: Issuer, answer: tuple[int, dict[str, str], bytes]
) -> None:
    issuer.answer = answer
    assert code_of(issuer.github(audience())) == "issuer_unreachable"
    assert code_of(issuer.github(audience())) == "issuer_unreachable"
    assert issuer.asked == 1


def test_no_issuer_is_asked_that_no_publisher_has(robot: User, issuer: Issuer, settings: Any) -> None:
    assert code_of(issuer.github(audience())) == "issuer_unknown"
    trust(robot, issuer)
    settings.TOKEN_ISSUERS = []
    assert code_of(issuer.github(audience())) == "issuer_unknown"
    assert issuer.asked == 0


def test_nothing_of_it_is_logged(trusted: TrustedPublisher, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    id_token = issuer.github(audience())
    _, text = administration.exchange(id_token)
    code_of(id_token)
    code_of(issuer.github(audience(), exp=1))
    assert text[10:] not in caplog.text
    assert id_token.split(".")[2] not in caplog.text


# --- Who trusts whom --------------------------------------------------------------------------------------------------


def test_only_the_owner_adds_one_and_administrators_retire_it(
    robot: User, rita: User, remy: User, ada: User, issuer: Issuer
) -> None:
    for by in (remy, ada):
        with pytest.raises(NotAllowed, match="Only the owner"):
            trust(robot, issuer, by=by)
    publisher = trust(robot, issuer)
    assert sentences.sentence(AuditEvent.objects.get(action=Action.PUBLISHER_ADDED)) == (
        "trusted jobs of acme/churn on refs/heads/main to act as train-bot"
    )
    with pytest.raises(NotAllowed, match="Only the owner and administrators"):
        administration.retire_publisher(publisher, by=remy)
    assert administration.retire_publisher(publisher, by=ada)
    assert not administration.retire_publisher(publisher, by=rita)
    assert code_of(issuer.github(audience())) == "issuer_unknown"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"issuer": "https://elsewhere.example.com"}, "does not accept identity tokens of this issuer"),
        ({"provider": "jenkins"}, "does not accept identity tokens of this issuer"),
        ({"repository": "churn"}, "with its owner or group"),
        ({"repository": "acme/*"}, "with its owner or group"),
        ({"repository": "acme/chürn"}, "with its owner or group"),
        ({"ref": "main"}, "Enter the full ref"),
        ({"ref": ""}, "Enter the full ref"),
        ({"environment": "a\u202eb"}, "name of the environment"),
        ({"scopes": []}, "at least one scope"),
        ({"scopes": ["reviews:write"]}, "never signs"),
        ({}, "trusted already"),
    ],
)
def test_what_is_refused(robot: User, issuer: Issuer, given: dict[str, Any], message: str) -> None:
    trust(robot, issuer)
    with pytest.raises(Invalid, match=message):
        trust(robot, issuer, **given)


@pytest.mark.parametrize("terms", [{}, {"ref": "refs/heads/*"}, {"environment": "production"}])
def test_jobs_that_act_as_one_account_are_not_trusted_for_another(
    robot: User, ada: User, issuer: Issuer, terms: dict[str, Any]
) -> None:
    """Whoever owns a service account could else have the jobs of another team act as it, unseen by them."""
    trust(make_service_account("squatter", owner=ada), issuer, ref="refs/*")
    with pytest.raises(
        Invalid, match=r"All these jobs act as squatter already, by the publisher acme/churn on refs/\*"
    ):
        trust(robot, issuer, **terms)


def test_a_publisher_with_jobs_of_its_own_is_added_beside_another(robot: User, ada: User, issuer: Issuer) -> None:
    other = make_service_account("other", owner=ada)
    trust(other, issuer, environment="staging")
    trust(robot, issuer)
    trust(other, issuer, ref="refs/heads/*")
    assert administration.exchange(issuer.github(audience()))[0].account == robot
    assert administration.exchange(issuer.github(audience(), ref="refs/heads/x"))[0].account == other


def test_an_issuer_is_of_one_kind(robot: User, rita: User, issuer: Issuer, settings: Any) -> None:
    trust(robot, issuer)
    with pytest.raises(Invalid, match="is GitHub Actions"):
        trust(robot, issuer, provider="gitlab", repository="acme/other")
    settings.TOKEN_ISSUERS = ["https://gitlab.com"]
    with pytest.raises(Invalid, match="is GitLab"):
        trust(robot, issuer, issuer="https://gitlab.com")


def test_it_ends_with_the_account_and_with_another_owner(
    remy: User, trusted: TrustedPublisher, robot: User, rita: User, ada: User, issuer: Issuer
) -> None:
    User.objects.filter(pk=rita.pk).update(is_active=False)
    assert code_of(issuer.github(audience())) == "owner_inactive"
    User.objects.filter(pk=rita.pk).update(is_active=True)
    groups = list(robot.groups.all())
    administration.set_person(robot, groups=groups, mlflow_names=[], is_service_account=True, owner=remy, by=ada)
    assert code_of(issuer.github(audience())) == "issuer_unknown"
    trusted.refresh_from_db()
    assert trusted.retired_by == ada
    robot.refresh_from_db()
    trust(robot, issuer, by=remy)
    administration.set_active(robot, is_active=False, by=ada)
    administration.set_active(robot, is_active=True, by=ada)
    assert code_of(issuer.github(audience())) == "issuer_unknown"
    told = AuditEvent.objects.get(action=Action.PERSON_DEACTIVATED).data
    assert told["retired_publishers"] == ["acme/churn on refs/heads/main"]
    assert ledger.verify(with_references=True).problem == ""


def test_a_trickle_of_keys_ends(trusted: TrustedPublisher, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_tokens, "FETCH_SECONDS", -1)  # any answer is too slow
    monkeypatch.setattr(id_tokens.requests, "get", _with_a_timeout(id_tokens.requests.get))
    assert code_of(issuer.github(audience())) == "issuer_unreachable"


def _with_a_timeout(get: Any) -> Any:
    return lambda address, **given: get(address, **(given | {"timeout": 5}))
