"""Settings from the environment: what is taken, what is refused, and in which words."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from registry_ui import sign_in
from registry_ui.environment import Environment

Read = Callable[[Environment], Any]

MLFLOW: Read = lambda env: env.url("URL", default="http://d", schemes=("http", "https"))  # noqa: E731
DATABASE: Read = lambda env: env.database("URL", default="sqlite:///default.sqlite3")  # noqa: E731
BROKER: Read = lambda env: env.broker("URL", default="filesystem://")  # noqa: E731
EMAIL: Read = lambda env: env.email("URL", is_needed=False)  # noqa: E731
SITE: Read = lambda env: env.url("URL", default="http://d", schemes=("http", "https"), may_have_path=False)  # noqa: E731


def read(read: Read) -> Any:
    env = Environment()
    value = read(env)
    env.refuse_nonsense()
    return value


def refusal(read_it: Read) -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(read_it)
    first, *lines = str(refused.value).splitlines()
    assert first == "Countersign cannot start:"
    return "\n".join(line.strip() for line in lines)


@pytest.mark.parametrize("raw", ["", "   "])
def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("N", raw)
    assert read(lambda env: env.number("N", default=7, minimum=1)) == 7


@pytest.mark.parametrize(
    ("raw", "value"), [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("No", False)]
)
def test_a_flag_has_several_spellings(monkeypatch: pytest.MonkeyPatch, raw: str, value: bool) -> None:
    monkeypatch.setenv("FLAG", raw)
    assert read(lambda env: env.flag("FLAG", default=not value)) is value


def test_a_flag_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAG", "maybe")
    assert refusal(lambda env: env.flag("FLAG", default=False)) == "FLAG: 'maybe' is neither true nor false."


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("-5", "-5 is too small; it must be at least 1."),
        ("0", "0 is too small; it must be at least 1."),
        ("ten", "'ten' is not a whole number."),
        ("1.5", "'1.5' is not a whole number."),
    ],
)
def test_seconds_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, raw: str, why: str) -> None:
    monkeypatch.setenv("SECONDS", raw)
    assert refusal(lambda env: env.number("SECONDS", default=5, minimum=1)) == f"SECONDS: {why}"


def test_a_choice_that_is_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVEL", "LOUD")
    words = refusal(lambda env: env.choice("LEVEL", default="INFO", choices=("INFO", "ERROR")))
    assert words == "LEVEL: 'LOUD' is not one of INFO, ERROR."


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "is not set. Use 32 or more random characters, kept secret."),
        ("short", "is 5 characters long; use at least 32 random ones."),
    ],
)
def test_a_secret_that_is_missing_or_short_is_refused_once(
    monkeypatch: pytest.MonkeyPatch, raw: str | None, why: str
) -> None:
    if raw:
        monkeypatch.setenv("SECRET", raw)
    words = refusal(lambda env: env.secret("SECRET", min_length=32, required=True, default="d"))
    assert words == f"SECRET: {why}"


@pytest.mark.parametrize(
    ("kind", "raw", "why"),
    [
        (MLFLOW, "mlflow:5000", "'mlflow:5000' is not an address like http://host:port."),
        (MLFLOW, "ftp://mlflow", "'ftp://mlflow' is not an address like http://host:port."),
        (MLFLOW, "http://", "'http://' is not an address like http://host:port."),
        (MLFLOW, "http://ml flow", "'http://ml flow' is not an address like http://host:port."),
        (MLFLOW, "http://mlflow:many", "the port in 'http://mlflow:many' is not a number from 1 to 65535."),
        (MLFLOW, "http://mlflow:70000", "the port in 'http://mlflow:70000' is not a number from 1 to 65535."),
        (MLFLOW, "http://mlflow:0", "the port in 'http://mlflow:0' is not a number from 1 to 65535."),
        (SITE, "https://a.example.com/gate", "must end after the host and port; Countersign cannot live below a path."),
        (DATABASE, "mysql://u@h/n", "use sqlite:///path or postgresql://user:password@host:port/name."),
        (DATABASE, "postgresql:///n", "'postgresql:///n' is not an address like postgresql://host:port."),
        (DATABASE, "postgresql://h", "names no database; use postgresql://user:password@host:port/name."),
        (BROKER, "amqp://h", "use redis://host:port/0, redis+socket:///path or filesystem://."),
        (BROKER, "redis://", "'redis://' is not an address like redis://host:port."),
        (BROKER, "redis://h:x/0", "the port in 'redis://h:x/0' is not a number from 1 to 65535."),
        (BROKER, "redis://h/jobs", "the number of the Redis database comes at the end, such as redis://host:port/0."),
        (BROKER, "redis+socket://", "names no socket; use redis+socket:///path."),
        (EMAIL, "mail.example.com", "use smtp+tls://user:password@host:587, smtp+ssl://…, smtp://… or consolemail://."),
        (EMAIL, "smtp://", "'smtp://' is not an address like smtp://host:port."),
    ],
)
def test_an_address_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: Read, raw: str, why: str
) -> None:
    monkeypatch.setenv("URL", raw)
    assert refusal(kind) == f"URL: {why}"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (MLFLOW, "http://user:hunter2@h:many"),
        (DATABASE, "postgresql://user:hunter2@h:many/n"),
        (BROKER, "redis://:hunter2@h:many/0"),
        (EMAIL, "smtp+tls://user:hunter2@h:many"),
    ],
)
def test_a_refusal_never_repeats_a_password(monkeypatch: pytest.MonkeyPatch, kind: Read, raw: str) -> None:
    monkeypatch.setenv("URL", raw)
    assert refusal(kind) == "URL: the port in the address is not a number from 1 to 65535."


@pytest.mark.parametrize(
    "raw", ["redis://h", "redis://:p@h:6379/1", "rediss://h/0", "redis+socket:///run/redis.sock", "filesystem://"]
)
def test_a_broker_that_can_work_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("URL", raw)
    assert read(BROKER) == raw


@pytest.mark.parametrize(
    ("raw", "backend", "port", "tls", "ssl"),
    [
        ("smtp://user:p%40ss@mail.example.com", "smtp", 25, False, False),
        ("smtp+tls://user:p%40ss@mail.example.com", "smtp", 587, True, False),
        ("smtp+ssl://user:p%40ss@mail.example.com", "smtp", 465, False, True),
        ("smtp+tls://user:p%40ss@mail.example.com:2525", "smtp", 2525, True, False),
    ],
)
def test_a_mail_server_is_spoken_to_as_its_address_says(
    monkeypatch: pytest.MonkeyPatch, raw: str, backend: str, port: int, tls: bool, ssl: bool
) -> None:
    monkeypatch.setenv("URL", raw)
    assert read(EMAIL) == {
        "EMAIL_BACKEND": f"django.core.mail.backends.{backend}.EmailBackend",
        "EMAIL_HOST": "mail.example.com",
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": "user",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_USE_TLS": tls,
        "EMAIL_USE_SSL": ssl,
    }


def test_mail_is_printed_where_no_server_is_named() -> None:
    assert read(EMAIL) == {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}


def test_sqlite_survives_a_power_cut_and_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("URL", f"sqlite:///{tmp_path}/c.sqlite3")
    config = read(DATABASE)
    assert config["NAME"] == f"{tmp_path}/c.sqlite3"
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in config["OPTIONS"]["init_command"]
    assert "synchronous=FULL" in config["OPTIONS"]["init_command"]


def test_postgresql_takes_its_options_from_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "postgresql://u:p@db:5433/countersign?sslmode=require")
    config = read(DATABASE)
    assert (config["HOST"], config["PORT"], config["NAME"]) == ("db", 5433, "countersign")
    assert config["OPTIONS"].items() >= {"sslmode": "require", "connect_timeout": 5}.items()


def test_a_lost_postgresql_is_given_up_soon_unless_the_address_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "postgresql://u:p@db/countersign?keepalives_idle=60")
    options = read(DATABASE)["OPTIONS"]
    assert (options["tcp_user_timeout"], str(options["keepalives_idle"])) == (15_000, "60")


# --- Files


def test_a_value_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 40 + "\n")
    monkeypatch.setenv("SECRET_FILE", str(tmp_path / "secret"))
    assert read(lambda env: env.secret("SECRET", min_length=32, required=True, default="")) == "s" * 40


def test_a_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_FILE", "/nothing/here")
    words = refusal(lambda env: env.secret("SECRET", min_length=32, required=True, default=""))
    assert words == "SECRET: The value of SECRET_FILE must be a readable file path."


def test_a_folder_that_is_a_file_or_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOLDER", str(tmp_path / "file"))
    words = refusal(lambda env: env.folder("FOLDER", default=tmp_path))
    assert words == f"FOLDER: {tmp_path}/file exists and is not a folder."
    monkeypatch.setenv("FOLDER", str(tmp_path / "file" / "below"))
    words = refusal(lambda env: env.folder("FOLDER", default=tmp_path, create=True))
    assert words == f"FOLDER: the folder {tmp_path}/file/below cannot be made: Not a directory."


def test_the_state_folder_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLDER", str(tmp_path / "a" / "b"))
    assert read(lambda env: env.folder("FOLDER", default=tmp_path, create=True)) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_a_secret_that_is_kept_must_be_readable_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN_FILE", str(tmp_path / "token"))
    assert refusal(lambda env: env.kept("TOKEN")).startswith("TOKEN: ")
    (tmp_path / "token").write_text("hush\n")
    assert read(lambda env: env.kept("TOKEN")).read() == "hush"


# --- Credentials in addresses that are shown --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "COUNTERSIGN_MLFLOW_UI_URL", "COUNTERSIGN_SITE_URL"])
def test_no_program_starts_with_credentials_in_an_address_that_is_shown(name: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "COUNTERSIGN_MLFLOW"))}
    told = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=clean | {"DJANGO_SETTINGS_MODULE": "registry_ui.settings", name: "http://user:hush@host"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = told.stdout + told.stderr
    assert told.returncode != 0
    assert f"{name}: has a user or a password in it" in said
    assert "hush" not in said
    if "MLFLOW" in name:
        assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said


@pytest.mark.parametrize("raw", ["http://user:hush@host", "https://hush@host:8080/path", "http://:hush@[::1]:5000"])
@pytest.mark.parametrize("address", [MLFLOW, SITE])
def test_an_address_that_is_shown_has_no_credentials(monkeypatch: pytest.MonkeyPatch, raw: str, address: Read) -> None:
    monkeypatch.setenv("URL", raw)
    assert refusal(address).startswith("URL: has a user or a password in it, which everybody would see.")


@pytest.mark.parametrize("name", ["COUNTERSIGN_OIDC_ISSUER", "COUNTERSIGN_OIDC_EXTRA_ORIGINS"])
def test_browsers_are_sent_to_no_address_with_credentials(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COUNTERSIGN_OIDC_CLIENT_ID", "countersign")
    monkeypatch.setenv("COUNTERSIGN_OIDC_ISSUER", "https://id.example.com")
    monkeypatch.setenv(name, "https://user:hush@id.example.com")
    said = refusal(lambda env: sign_in.origins(env, sign_in.openid_connect(env)))
    assert f"{name}: has a user or a password in it" in said
    assert "hush" not in said


@pytest.mark.parametrize("read_it", [DATABASE, BROKER, EMAIL])
@pytest.mark.parametrize("scheme", ["nonsense", "redis", "postgresql", "smtp"])
def test_a_refusal_repeats_no_password(monkeypatch: pytest.MonkeyPatch, read_it: Read, scheme: str) -> None:
    for rest in ("user:hush@host:99999/x", "user:hush@host:port", "user:hush@", "user:hush@host :1", "hush@host/a/b"):
        monkeypatch.setenv("URL", f"{scheme}://{rest}")
        env = Environment()
        read_it(env)
        assert "hush" not in " ".join(env.problems)
