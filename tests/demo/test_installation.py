import base64
import socket
from pathlib import Path

import pytest

from registry_ui.demo.installation import CannotStart, Installation


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "state", 18000, 15000)
    made.prepare()
    return made


def test_nothing_of_the_shell_leads_the_demo_to_a_real_database_or_mlflow(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DATABASE_URL", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, "https://production.example.com")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("COUNTERSIGN_OIDC_ISSUER", "https://id.example.com")
    environment = place.environment()
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:15000"
    assert "production.example.com" not in " ".join(environment.values())
    assert {"DATABASE_URL", "MLFLOW_TRACKING_TOKEN", "COUNTERSIGN_OIDC_ISSUER"}.isdisjoint(environment)


def test_the_secret_key_is_made_once_and_readable_by_its_owner_alone(place: Installation) -> None:
    key = place.secret_key()
    assert len(key) >= 50
    assert place.secret_key() == key
    assert (place.folder / "secret-key").stat().st_mode & 0o777 == 0o600
    assert place.folder.stat().st_mode & 0o777 == 0o700


def test_checkpoints_are_signed_with_a_key_of_its_own_that_is_made_once(place: Installation) -> None:
    path = place.checkpoint_key()
    assert place.worker().environment["COUNTERSIGN_CHECKPOINT_KEY_FILE"] == str(path)
    assert "COUNTERSIGN_CHECKPOINT_KEY_FILE" not in {**place.web().environment, **place.beat().environment}
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_text()
    assert len(base64.b64decode(key, validate=True)) == 32
    assert place.checkpoint_key().read_text() == key
    assert key not in place.environment().values()


@pytest.mark.parametrize("name", ["PORT", "MLFLOW_PORT"])
def test_a_taken_port_is_named_with_the_variable_that_changes_it(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = listener.getsockname()[1], other.getsockname()[1]
        other.close()
        place = Installation(tmp_path, taken, free) if name == "PORT" else Installation(tmp_path, free, taken)
        with pytest.raises(CannotStart, match=rf"(?s)Port {taken}.*make demo {name}=\d+"):
            place.check_ports()


@pytest.mark.parametrize("raw", ["http", "0", "65536", "-1", "8000.5", "٣"])
def test_a_port_that_is_none_is_refused(raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", raw)
    with pytest.raises(CannotStart, match="is not a port"):
        Installation.from_environment()


def test_one_port_for_both_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.delenv("MLFLOW_PORT", raising=False)
    with pytest.raises(CannotStart, match="are the same"):
        Installation.from_environment()


def test_the_socket_of_the_broker_stays_within_what_the_system_allows(tmp_path: Path) -> None:
    short = Installation(Path("/tmp/short"), 1, 2)  # noqa: S108  nothing is written there
    long = Installation(tmp_path / ("deep" * 30), 1, 2)
    assert short.redis_socket == Path("/tmp/short/redis.sock")  # noqa: S108
    assert len(str(long.redis_socket)) < 100
    assert long.redis_socket != Installation(tmp_path / ("deep" * 31), 1, 2).redis_socket


def test_without_redis_a_folder_is_the_broker(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.environment()["CELERY_BROKER_URL"].startswith("redis+socket://")
    monkeypatch.setenv("PATH", "")
    assert place.environment()["CELERY_BROKER_URL"] == "filesystem://"
