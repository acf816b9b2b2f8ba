"""Signatures of calls: those of Standard Webhooks, with a secret for each name and installation."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from pytest_django import Settings

from approvals.checks import signing
from tests.support.ci_service import SECRET

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    body = b'{"test": 2432232314}'
    headers = signing.sign(
        body,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, ""),
        ({"webhook-signature": "v2,abc v1,abc {right}"}, ""),
        ({"webhook-signature": "v1,abc"}, "The signature is wrong."),
        ({"webhook-signature": "v1,ä\udcff"}, "The signature is wrong."),
        ({"webhook-id": "other"}, "The signature is wrong."),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, "The signature is wrong."),
        ({"webhook-timestamp": "soon"}, "is not a number of seconds"),
        ({"webhook-timestamp": "²"}, "is not a number of seconds"),
        ({"webhook-timestamp": "9" * 5000}, "is not a number of seconds"),
        ({"webhook-id": ""}, "are needed"),
        ({"webhook-signature": ""}, "are needed"),
    ],
)
def test_a_signature_holds_for_its_id_time_and_body_alone(changed: dict[str, str], problem: str) -> None:
    headers = signing.sign(b"body", SECRET, message_id="a", now=NOW)
    right = headers["webhook-signature"]
    headers |= {name: value.replace("{right}", right) for name, value in changed.items()}
    found = signing.verify(headers, b"body", SECRET, now=NOW)
    assert (problem in found) if problem else found == ""
    assert signing.verify(headers, b"another body", SECRET, now=NOW)
    assert signing.verify(headers, b"body", signing.secret_for("other"), now=NOW)


@pytest.mark.parametrize(("seconds", "is_taken"), [(299, True), (-299, True), (301, False), (-301, False)])
def test_an_old_message_is_refused(seconds: int, is_taken: bool) -> None:
    headers = signing.sign(b"body", SECRET, message_id="a", now=NOW)
    assert (signing.verify(headers, b"body", SECRET, now=NOW + timedelta(seconds=seconds)) == "") is is_taken


def test_the_secret_goes_with_the_name_and_the_installation(settings: Settings) -> None:
    assert signing.secret_for("ci").startswith("whsec_")
    assert signing.secret_for("ci") != signing.secret_for("cd")
    settings.SECRET_KEY = "another" * 8
    assert signing.secret_for("ci") != SECRET


def test_the_command_prints_the_secret() -> None:
    out = StringIO()
    call_command("check_secret", "ci", stdout=out)
    assert out.getvalue() == f"{SECRET}\n"
