"""How unusual answers become errors, asked of a small HTTP server that says what it is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.mlflow.client import MlflowRegistry
from mirror.port import REFUSED_SIGN_IN, Denied, NotFound, Refused, RegistryError, Unreachable, Unsigned
from tests.support.scripted import Scripted, error_of


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (
            500,
            '{"error_code": "INTERNAL_ERROR", "message": "disk full"}',
            Unreachable,
            "MLflow answered 500: disk full",
        ),
        (502, "<html>Bad gateway</html>", Unreachable, "MLflow answered 502: Bad Gateway"),
        (429, '{"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}', Unreachable, "429: slow down"),
        (200, "<html>Sign in</html>", Unreachable, "Something else than MLflow answers at"),
        (200, "[]", Unreachable, "does not sound like MLflow"),
        (404, "Not here", Unreachable, "There is no MLflow registry at"),
        (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}', NotFound, "no such model"),
        (401, "You are not authenticated.", Unsigned, "account (401): MLFLOW_TRACKING_USERNAME and"),
        (401, "You are not authenticated.", Unsigned, "MLflow said: You are not authenticated."),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "ask Ada"}', Denied, "MLflow said: ask Ada"),
        (403, "Permission denied", Denied, "does not let Countersign's account"),
        (400, '{"error_code": "BAD_REQUEST", "message": "value too long"}', Refused, "value too long"),
        (403, "<html>Forbidden</html>", Denied, "(403)"),
        (200, "{}", Unreachable, "MLflow's answer cannot be read"),
    ],
)
def test_answer_becomes_the_right_error(
    server: Scripted, status: int, body: str, kind: type[RegistryError], message: str
) -> None:
    registry = server.says(status, body)
    for call in (lambda: registry.version("churn", 1), lambda: registry.model("churn")):
        error = error_of(call)
        assert type(error) is kind
        assert message in error.message
        assert error.may_retry is (kind in {Unreachable, Denied, Unsigned})


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda registry: registry.version("churn", 1), "account read this (403): it needs READ."),
        (
            lambda registry: registry.set_stage("churn", 1, "Production", archive_existing=True),
            "account move a version's stage (403): it needs EDIT on the registered model.",
        ),
        (lambda registry: registry.set_alias("churn", "champion", 1), "set an alias (403): it needs EDIT"),
        (lambda registry: registry.delete_alias("churn", "champion"), "delete an alias (403): it needs MANAGE"),
        (lambda registry: registry.set_description("churn", 1, "x"), "write a version's description (403)"),
        (lambda registry: registry.set_tag("churn", 1, "a", "b"), "set a version's tag (403): it needs EDIT"),
        (lambda registry: registry.delete_tag("churn", 1, "a"), "delete a version's tag (403): it needs MANAGE"),
    ],
)
def test_a_missing_right_is_named(server: Scripted, call: Callable[[MlflowRegistry], object], told: str) -> None:
    registry = server.says(403, "Permission denied")
    assert told in error_of(lambda: call(registry)).message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_named_without_its_query(server: Scripted, status: int) -> None:
    registry = server.says(status, "")
    server.location = "http://login.invalid/start?next=/api&token=secret"
    for call in (
        registry.ping,
        lambda: registry.version("churn", 1),
        lambda: registry.set_alias("churn", "champion", 1),
        lambda: list(registry.read_artifact("mlflow-artifacts:/1/model", "MLmodel")),
    ):
        server.seen.clear()
        error = error_of(call)
        assert type(error) is Unreachable
        assert error.message == (
            f"Something else than MLflow answers at {server.url}: a redirect to http://login.invalid/start. "
            "Check MLFLOW_TRACKING_URI, and whether a proxy in front of it wants people to sign in."
        )
        assert len(server.seen) == 1


def test_an_html_page_is_no_version_and_no_answer(server: Scripted) -> None:
    registry = server.says(200, "<!DOCTYPE html><html><head><title>Sign in &amp; go</title></head></html>")
    for call, kind in ((registry.ping, Refused), (lambda: registry.model("churn"), Unreachable)):
        error = error_of(call)
        assert type(error) is kind
        assert f"Something else than MLflow answers at {server.url}: an HTML page, “Sign in & go”." in error.message


@pytest.mark.parametrize("body", ["", "pong", '{"version": "3.1"}'])
def test_what_is_no_version_is_not_kept_as_one(server: Scripted, body: str) -> None:
    assert "does not sound like MLflow" in error_of(server.says(200, body).ping).message


@pytest.mark.parametrize("version", ["2.14.3", "3.17.2", "3.18.0rc1", "3.18.0.dev0+abc"])
def test_a_version_is_kept(server: Scripted, version: str) -> None:
    assert server.says(200, f"{version}\n").ping().version == version


def test_slow_server_is_unreachable_with_the_time_waited(server: Scripted) -> None:
    server.delay = 1.0
    error = error_of(MlflowRegistry(server.url, timeout_seconds=0.2).ping)
    assert error.message == f"MLflow at {server.url} did not answer within 0.2 seconds."
    assert error.may_retry


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9", "MLflow at http://127.0.0.1:9 cannot be reached: Connection refused."),
        ("http://mlflow.invalid:5000", "MLflow at http://mlflow.invalid:5000 cannot be reached: "),
    ],
)
def test_server_that_is_not_there_is_unreachable(url: str, message: str) -> None:
    registry = MlflowRegistry(url, timeout_seconds=2)
    for call in (registry.ping, lambda: list(registry.versions()), lambda: registry.set_alias("a", "champion", 1)):
        error = error_of(call)
        assert type(error) is Unreachable
        assert error.message.startswith(message)


def test_mlflows_own_variables_sign_the_request(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = server.says(200, '{"registered_model": {"name": "churn"}}')
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-token")
    registry.model("churn")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "worker")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-password")
    registry.model("churn")
    assert [headers["Authorization"] for headers in server.seen] == [
        "Bearer secret-token",
        "Basic d29ya2VyOnNlY3JldC1wYXNzd29yZA==",
    ]


@pytest.fixture
def password_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "worker")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))
    (tmp_path / "password").write_text("old-secret\n")
    return tmp_path / "password"


def test_a_password_is_exchanged_without_a_restart(server: Scripted, password_file: Path) -> None:
    registry, server.password = server.says(200, '{"registered_model": {"name": "churn"}}'), "old-secret"
    registry.model("churn")
    server.password = "new-secret"
    told = error_of(lambda: registry.model("churn"))
    assert isinstance(told, Unsigned)
    assert told.message.startswith(REFUSED_SIGN_IN)
    assert len(server.seen) == 2, "the file said nothing new, so it was not asked again"
    password_file.write_text("new-secret\n")
    registry.model("churn")
    assert len(server.seen) == 3, "the new time of the file was seen before the call"


def test_what_the_file_says_is_looked_at_once_more_when_it_is_refused(server: Scripted, password_file: Path) -> None:
    """Exchanged with its old time and size, as a copy that keeps times does."""
    registry, server.password = server.says(200, '{"registered_model": {"name": "churn"}}'), "old-secret"
    registry.model("churn")
    before = password_file.stat()
    server.password = "new-secret"
    password_file.write_text("new-secret\n")
    os.utime(password_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    registry.model("churn")
    assert len(server.seen) == 3
    registry.model("churn")
    assert len(server.seen) == 4


def test_who_asks_unsigned_stays_unsigned(server: Scripted, password_file: Path) -> None:
    registry, server.password = server.says(200, "{}"), "new-secret"
    assert isinstance(error_of(lambda: registry.unsigned().model("churn")), Unsigned)
    assert [headers.get("Authorization") for headers in server.seen] == [None]


def test_no_error_tells_the_password(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "worker")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-password")
    for registry in (server.says(500, "oops"), MlflowRegistry("http://127.0.0.1:9", timeout_seconds=2)):
        assert "secret" not in error_of(lambda: registry.model("churn")).message  # noqa: B023  called at once
