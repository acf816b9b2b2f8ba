"""Reads settings from the environment and refuses nonsense with one readable message that names every bad variable.

Used by `registry_ui.settings` only. Every variable may also be given as NAME_FILE, the path of a file that holds the value.
"""

import logging.config
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dj_database_url
import dj_email_url
import environs
import structlog
from django.core.exceptions import ImproperlyConfigured


T = TypeVar("T")


class Environment:
    """Typed access to environment variables; problems are collected and raised together by `refuse_nonsense`."""

    def __init__(self) -> None:
        self._env = environs.FileAwareEnv(strip_whitespace=True)
        self.names: set[str] = set()
        self.problems: list[str] = []

    def refuse_nonsense(self) -> None:
        """Raises ImproperlyConfigured with one line per variable that cannot be used."""
        if self.problems:
            raise ImproperlyConfigured("Countersign cannot start:\n" + "\n".join(f"  {p}" for p in self.problems))

    def _read(self, name: str, read: Callable[[str], T], default: T) -> T:
        self.names.add(name)
        try:
            raw = self._env.str(name, default="")
            return read(raw) if raw else default
        except (environs.EnvError, ValueError, OSError) as error:
            self.problems.append(f"{name}: {error}")
            return default

    def text(self, name: str, *, default: str = "") -> str:
        return self._read(name, str, default)

    def words(self, name: str) -> list[str]:
        """A comma-separated list."""
        return self._read(name, lambda raw: [word.strip() for word in raw.split(",") if word.strip()], [])

    def flag(self, name: str, *, default: bool) -> bool:
        def read(raw: str) -> bool:
            if raw.lower() in {"1", "true", "yes", "on"}:
                return True
            if raw.lower() in {"0", "false", "no", "off"}:
                return False
            raise ValueError(f"{raw!r} is neither true nor false.")

        return self._read(name, read, default)

    def number(self, name: str, *, default: int, minimum: int) -> int:
        def read(raw: str) -> int:
            if not re.fullmatch(r"-?\d+", raw):
                raise ValueError(f"{raw!r} is not a whole number.")
            if int(raw) < minimum:
                raise ValueError(f"{raw} is too small; it must be at least {minimum}.")
            return int(raw)

        return self._read(name, read, default)

    def choice(self, name: str, *, default: str, choices: Sequence[str]) -> str:
        def read(raw: str) -> str:
            if raw not in choices:
                raise ValueError(f"{raw!r} is not one of {', '.join(choices)}.")
            return raw

        return self._read(name, read, default)

    def folder(self, name: str, *, default: Path) -> Path:
        def read(raw: str) -> Path:
            if Path(raw).exists() and not Path(raw).is_dir():
                raise ValueError(f"{raw} exists and is not a folder.")
            return Path(raw).resolve()

        return self._read(name, read, default)

    def secret(self, name: str, *, min_length: int, required: bool, default: str) -> str:
        def read(raw: str) -> str:
            if len(raw) < min_length:
                raise ValueError(f"is {len(raw)} characters long; use at least {min_length} random ones.")
            return raw

        value = self._read(name, read, "")
        if not value and required and not any(problem.startswith(f"{name}:") for problem in self.problems):
            self.problems.append(f"{name}: is not set. Use {min_length} or more random characters, kept secret.")
        return value or default

    def url(self, name: str, *, default: str, schemes: Sequence[str]) -> str:
        def read(raw: str) -> str:
            parts = urlsplit(raw)
            if parts.scheme not in schemes or not parts.hostname:
                raise ValueError(f"{raw!r} is not an address like {schemes[0]}://host:port.")
            _ = parts.port  # raises ValueError when it is not a number
            return raw.rstrip("/")

        return self._read(name, read, default)

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """SQLite (WAL, IMMEDIATE, synchronous=FULL: the ledger survives a power cut) or PostgreSQL, as Django wants it."""

        def read(raw: str) -> dict[str, Any]:
            if not raw.startswith(("sqlite:///", "postgres://", "postgresql://")):
                raise ValueError("use sqlite:///path or postgresql://user:password@host:port/name.")
            return dict(dj_database_url.parse(raw))

        config = self._read(name, read, read(default))
        config["ATOMIC_REQUESTS"] = False
        if config["ENGINE"].endswith("sqlite3"):
            config["OPTIONS"] = {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;",
            }
        else:
            config["CONN_MAX_AGE"], config["CONN_HEALTH_CHECKS"] = 60, True
            config.setdefault("OPTIONS", {})["connect_timeout"] = 5
        return config

    def email(self, name: str, *, default: str) -> dict[str, Any]:
        return self._read(name, lambda raw: dict(dj_email_url.parse(raw)), dict(dj_email_url.parse(default)))

    def broker(self, name: str, *, default: str) -> str:
        def read(raw: str) -> str:
            if not raw.startswith(("redis://", "rediss://", "redis+socket://", "filesystem://")):
                raise ValueError("use redis://host:port/0, redis+socket:///path or filesystem://.")
            return raw

        return self._read(name, read, default)

    def openid_connect(self) -> dict[str, Any]:
        """django-allauth's provider settings from COUNTERSIGN_OIDC_*; empty when no issuer is named."""
        issuer = self.url("COUNTERSIGN_OIDC_ISSUER", default="", schemes=("https", "http"))
        client_id = self.text("COUNTERSIGN_OIDC_CLIENT_ID")
        secret = self.text("COUNTERSIGN_OIDC_CLIENT_SECRET")
        label = self.text("COUNTERSIGN_OIDC_NAME", default="Single sign-on")
        scope = self.text("COUNTERSIGN_OIDC_SCOPE", default="openid email profile")
        if bool(issuer) != bool(client_id):
            self.problems.append("COUNTERSIGN_OIDC_ISSUER: and COUNTERSIGN_OIDC_CLIENT_ID go together; one is not set.")
        if not issuer:
            return {}
        app = {
            "provider_id": "oidc",
            "name": label,
            "client_id": client_id,
            "secret": secret,
            "settings": {"server_url": issuer, "oauth_pkce_enabled": True, "scope": scope.split()},
        }
        return {"openid_connect": {"APPS": [app]}}

    def oidc_origins(self) -> list[str]:
        """Where a form may lead besides this site: the identity provider, which the sign-in button redirects to."""
        parts = urlsplit(self.url("COUNTERSIGN_OIDC_ISSUER", default="", schemes=("https", "http")))
        return [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []


def broker_options(url: str, folder: Path) -> dict[str, Any]:
    """Transport options; the folder of the filesystem transport is made here because kombu expects it to exist."""
    if not url.startswith("filesystem://"):
        return {
            "visibility_timeout": 120,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
        }
    queue, control = folder / "queue", folder / "control"
    for path in (queue, control):
        path.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(queue),
        "data_folder_out": str(queue),
        "control_folder": str(control),
        "polling_interval": 0.1,
    }


def configure_logging(*, level: str, as_json: bool) -> None:
    """One line per event on standard error, text or JSON; values are never secrets because nothing logs any."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, renderer],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {"httpx": {"level": "WARNING"}, "urllib3": {"level": "ERROR"}},
        }
    )
