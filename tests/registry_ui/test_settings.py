"""The settings as a whole, loaded anew in a process with an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from registry_ui import checks
from registry_ui.demo.installation import ROOT

OURS = ("COUNTERSIGN_", "DATABASE_URL", "CELERY_", "EMAIL_URL", "MLFLOW_", "DJANGO_")
SECRET = {"COUNTERSIGN_SECRET_KEY": "k3y-of-a-test-" * 4}
PRODUCTION = SECRET | {
    "COUNTERSIGN_SITE_URL": "https://countersign.example.com",
    "COUNTERSIGN_TRUSTED_PROXY_COUNT": "1",
    "COUNTERSIGN_SECRET_KEY": "Zb8vJq2mXw5tRk9yLc4nHf7sDg1pTa6eUo3iVx0BqWzE5rTyU8",
    "DATABASE_URL": "postgresql://countersign:secret@127.0.0.1:9/countersign",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/0",
    "EMAIL_URL": "smtp+tls://user:secret@mail.example.com:587",
    "MLFLOW_TRACKING_URI": "https://mlflow.example.com",
}


def run(folder: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=kept | {"COUNTERSIGN_STATE_DIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def settings_with(folder: Path, environment: dict[str, str], *names: str) -> dict[str, Any]:
    found = f"{{name: getattr(settings, name) for name in {names!r}}}"
    script = f"import json; from registry_ui import settings; print(json.dumps({found}))"
    done = run(folder, environment, "-c", script)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("command", [("check",), ("migrate",), ("sweep", "--dry-run")])
def test_all_that_is_wrong_is_named_at_once_and_without_a_traceback(tmp_path: Path, command: tuple[str, ...]) -> None:
    wrong = {
        "COUNTERSIGN_SECRET_KEY": "short",
        "COUNTERSIGN_SITE_URL": "countersign.example.com",
        "COUNTERSIGN_PULL_SECONDS": "-1",
        "COUNTERSIGN_SIGNUP_OPEN": "perhaps",
        "COUNTERSIGN_LOG_LEVEL": "LOUD",
        "COUNTERSIGN_OIDC_CLIENT_ID": "countersign",
        "CELERY_BROKER_URL": "carrier-pigeon://",
        "DATABASE_URL_FILE": "/nothing/here",
    }
    done = run(tmp_path, wrong, "manage.py", *command)
    assert done.returncode == 1
    first, *lines = done.stderr.splitlines()
    assert first == "Countersign cannot start:"
    named = {line.strip().split(":")[0] for line in lines}
    expected = {name.removesuffix("_FILE") for name in wrong} - {"COUNTERSIGN_OIDC_CLIENT_ID"}
    assert named == expected | {"COUNTERSIGN_OIDC_ISSUER"}


def test_a_secret_key_is_needed_and_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, {}, "manage.py", "check")
    assert done.stderr == (
        "Countersign cannot start:\n"
        "  COUNTERSIGN_SECRET_KEY: is not set. Use 32 or more random characters, kept secret.\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "is not set, so invitations"), ({"EMAIL_URL": "consolemail://"}, "prints mails, so invitations")],
)
def test_a_site_that_others_reach_does_not_start_without_mail(tmp_path: Path, given: dict[str, str], said: str) -> None:
    site = {**SECRET, "COUNTERSIGN_SITE_URL": "https://countersign.example.com"}
    done = run(tmp_path, site | given, "manage.py", "check")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Countersign cannot start:\n  EMAIL_URL: {said} and password resets reach no one. ")


def test_a_process_that_sends_no_mail_says_so_and_starts(tmp_path: Path) -> None:
    site = {**SECRET, "COUNTERSIGN_SITE_URL": "https://countersign.example.com", "EMAIL_URL": "none"}
    send = "import django; django.setup(); from django.core import mail; mail.send_mail('a', 'b', None, ['c@d.ef'])"
    done = run(tmp_path, site | {"DJANGO_SETTINGS_MODULE": "registry_ui.settings"}, "-c", send)
    assert done.stderr.endswith("RuntimeError: EMAIL_URL is none in this process, so it cannot send mail.\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_on_this_machine_alone_mail_may_be_printed(tmp_path: Path, host: str) -> None:
    given = {**SECRET, "COUNTERSIGN_SITE_URL": f"http://{host}:8000"}
    assert settings_with(tmp_path, given, "EMAIL_BACKEND")["EMAIL_BACKEND"].endswith("console.EmailBackend")


def test_the_web_process_ends_with_the_same_words(tmp_path: Path) -> None:
    done = run(tmp_path, {}, "-c", "import registry_ui.wsgi")
    assert done.returncode == 1
    assert done.stderr.endswith("COUNTERSIGN_SECRET_KEY: is not set. Use 32 or more random characters, kept secret.\n")


def test_the_defaults_pass_the_checks(tmp_path: Path) -> None:
    done = run(tmp_path, SECRET, "manage.py", "check")
    assert (done.returncode, done.stderr) == (0, "")


def test_production_settings_pass_the_checks_of_a_deployment(tmp_path: Path) -> None:
    done = run(tmp_path, PRODUCTION, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("CELERY_BROKER_URL", "filesystem://", "countersign.W001"),
        ("DATABASES", {"default": {"ENGINE": "django.db.backends.sqlite3"}}, "countersign.W002"),
        ("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend", "countersign.W003"),
        ("ALLAUTH_TRUSTED_PROXY_COUNT", 0, "countersign.W004"),
    ],
)
def test_the_checks_of_a_deployment_name_what_is_for_trying_out(name: str, value: Any, warning: str) -> None:
    well = {
        "CELERY_BROKER_URL": "redis://redis/0",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "ALLAUTH_TRUSTED_PROXY_COUNT": 1,
        "IS_HTTPS": True,
        "SECURE_SSL_REDIRECT": True,
        "GATE_KEY": b"",
        "CHECKPOINT_KEY": b"",
        "GATE_TOKEN": "of the gate",
    }
    with mock.patch.object(checks, "settings", SimpleNamespace(**well)):
        assert checks.deployment(None) == []
    with mock.patch.object(checks, "settings", SimpleNamespace(**well | {name: value})):
        (found,) = checks.deployment(None)
    assert found.id == warning
    assert found.hint


def test_an_https_address_turns_on_what_belongs_to_it(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS")
    assert settings_with(tmp_path, PRODUCTION, *names) == {
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
    }
    plain = SECRET | {"COUNTERSIGN_SITE_URL": "http://127.0.0.1:8000"}
    assert set(settings_with(tmp_path, plain, *names).values()) == {False}


def test_only_the_named_hosts_are_answered(tmp_path: Path) -> None:
    extra = {"COUNTERSIGN_EXTRA_HOSTS": "web, 10.0.0.7"}
    found = settings_with(tmp_path, PRODUCTION | extra, "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")
    assert found == {
        "ALLOWED_HOSTS": ["countersign.example.com", "web", "10.0.0.7"],
        "CSRF_TRUSTED_ORIGINS": ["https://countersign.example.com"],
    }


@pytest.mark.parametrize(("given", "is_open", "verification"), [("true", True, "mandatory"), ("", False, "optional")])
def test_open_sign_up_asks_for_confirmed_addresses(
    tmp_path: Path, given: str, is_open: bool, verification: str
) -> None:
    environment = SECRET | {"COUNTERSIGN_SIGNUP_OPEN": given}
    found = settings_with(tmp_path, environment, "SIGNUP_OPEN", "ACCOUNT_EMAIL_VERIFICATION")
    assert found == {"SIGNUP_OPEN": is_open, "ACCOUNT_EMAIL_VERIFICATION": verification}


def test_the_content_policy_allows_forms_to_the_provider_alone(tmp_path: Path) -> None:
    provider = {"COUNTERSIGN_OIDC_ISSUER": "https://id.example.com/realms/ml", "COUNTERSIGN_OIDC_CLIENT_ID": "c"}
    for environment, allowed in ((SECRET, ["'self'"]), (SECRET | provider, ["'self'", "https://id.example.com"])):
        policy = settings_with(tmp_path, environment, "CONTENT_SECURITY_POLICY")["CONTENT_SECURITY_POLICY"]
        assert policy["DIRECTIVES"]["form-action"] == allowed
        scripts_and_styles = {policy["DIRECTIVES"][name][0] for name in ("script-src", "style-src")}
        assert scripts_and_styles == {"'self'"}
