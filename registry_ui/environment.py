"""Reads settings from the environment and refuses nonsense with one readable message that names every bad variable.

Used by `registry_ui.settings` only. Every variable may also be given as NAME_FILE, the path of a file with the value.
"""

import base64
import logging.config
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import dj_database_url
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ImproperlyConfigured

from registry_ui.kept import Kept

T = TypeVar("T")


_LOST_PEER = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}
"""A database that a cut in the network took away is given up after 15 seconds (libpq's names, seconds and
milliseconds); without them a query waits for it for a quarter of an hour, and whoever asked with it."""


def _given(name: str) -> str:
    """The text of the file that NAME_FILE names, or else NAME. Raises ValueError when that file cannot be read."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return os.environ.get(name, "")
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"The value of {name}_FILE must be a readable file path.") from error


class Environment:
    """Typed access to environment variables; problems are collected and raised together by `refuse_nonsense`."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.problems: list[str] = []

    def refuse_nonsense(self) -> None:
        """Raises ImproperlyConfigured with one line per variable that cannot be used."""
        if self.problems:
            lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(self.problems))
            raise ImproperlyConfigured(f"Countersign cannot start:\n{lines}")

    def _read(self, name: str, read: Callable[[str], T], default: T) -> T:
        self.names.add(name)
        try:
            raw = _given(name).strip()
            return read(raw) if raw else default
        except (ValueError, OSError) as error:
            self.problems.append(f"{name}: {error}")
            return default

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """What `parse` makes of the text; a ValueError of it is a problem."""
        return self._read(name, parse, default)

    def is_bad(self, name: str) -> bool:
        """Whether what stands there cannot be used."""
        return any(problem.startswith(f"{name}:") for problem in self.problems)

    def text(self, name: str, *, default: str = "") -> str:
        """As it stands. Like all readers here it raises nothing: what is wrong is kept for `refuse_nonsense`."""
        return self._read(name, str, default)

    def kept(self, name: str) -> Kept:
        """A secret whose file may be exchanged while the process runs. A file that cannot be read stops the start."""
        self.text(name)
        return Kept(name)

    def words(self, name: str) -> list[str]:
        """A comma-separated list."""
        return self._read(name, lambda raw: [word.strip() for word in raw.split(",") if word.strip()], [])

    def flag(self, name: str, *, default: T) -> bool | T:
        """1, true, yes or on; 0, false, no or off."""

        def read(raw: str) -> bool:
            if raw.lower() in {"1", "true", "yes", "on"}:
                return True
            if raw.lower() in {"0", "false", "no", "off"}:
                return False
            raise ValueError(f"{raw!r} is neither true nor false.")

        found: bool | T = self._read(name, read, default)  # type: ignore[arg-type]
        return found

    def number(self, name: str, *, default: int, minimum: int) -> int:
        """A whole number, at least `minimum`."""

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

    def some_of(self, name: str, *, default: Sequence[str], choices: Sequence[str]) -> list[str]:
        """A comma-separated list of known words."""

        def read(raw: str) -> list[str]:
            found = [word.strip() for word in raw.split(",") if word.strip()]
            if unknown := [word for word in found if word not in choices]:
                raise ValueError(f"{', '.join(unknown)} is none of {', '.join(choices)}.")
            return found

        return self._read(name, read, list(default))

    def folder(self, name: str, *, default: Path, create: bool = False) -> Path:
        """An absolute path; made with `create`."""

        def read(raw: str) -> Path:
            if Path(raw).exists() and not Path(raw).is_dir():
                raise ValueError(f"{raw} exists and is not a folder.")
            return Path(raw).resolve()

        found = self._read(name, read, default)
        if create:
            self._make(name, found)
        return found

    def _make(self, name: str, *folders: Path) -> None:
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.problems.append(f"{name}: the folder {folder} cannot be made: {error.strerror}.")

    def secret(self, name: str, *, min_length: int, required: bool, default: str) -> str:
        """At least `min_length` characters; `default` where it is not set."""

        def read(raw: str) -> str:
            if len(raw) < min_length:
                raise ValueError(f"is {len(raw)} characters long; use at least {min_length} random ones.")
            return raw

        value = self._read(name, read, "")
        if not value and required and not self.is_bad(name):
            self.problems.append(f"{name}: is not set. Use {min_length} or more random characters, kept secret.")
        return value or default

    def signing_key(self, name: str) -> bytes:
        """The 32 bytes of an Ed25519 private key, given as PEM or as base64; b"" when there is none."""

        def read(raw: str) -> bytes:
            try:
                if raw.startswith("-----BEGIN"):
                    key = serialization.load_pem_private_key(raw.encode(), password=None)
                    if not isinstance(key, Ed25519PrivateKey):
                        raise ValueError
                    return key.private_bytes_raw()
                seed = base64.b64decode(raw, validate=True)
                return Ed25519PrivateKey.from_private_bytes(seed).private_bytes_raw()
            except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # which may quote the key
                raise ValueError("is no Ed25519 private key, neither PEM nor 32 bytes in base64.") from error

        return self._read(name, read, b"")

    def public_keys(self, name: str) -> list[str]:
        """Ed25519 public keys in the form name+id+base64, comma-separated."""

        def read(raw: str) -> list[str]:
            found = [word.strip() for word in raw.split(",") if word.strip()]
            for word in found:
                if not re.fullmatch(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", word):
                    raise ValueError(f"{word!r} is no public key of the form name+id+base64.")
            return found

        return self._read(name, read, [])

    def url(
        self, name: str, *, default: str, schemes: Sequence[str], may_have_path: bool = True, credentials: str = ""
    ) -> str:
        """An address that is shown. `credentials` says where a user and password go instead of into it."""

        def read(raw: str) -> str:
            refuse_bad_address(raw, schemes)
            refuse_credentials(raw, credentials)
            if not may_have_path and urlsplit(raw)[2:] not in {("", "", ""), ("/", "", "")}:
                raise ValueError("must end after the host and port; Countersign cannot live below a path.")
            return raw.rstrip("/")

        return self._read(name, read, default)

    def urls(self, name: str, *, default: Sequence[str]) -> list[str]:
        """A comma-separated list of https addresses (http on this machine alone), without a slash at their end; `none`
        for an empty one."""

        def read(raw: str) -> list[str]:
            found = [] if raw == "none" else [word.strip().rstrip("/") for word in raw.split(",") if word.strip()]
            for each in found:
                is_here = urlsplit(each).hostname in ("127.0.0.1", "localhost", "::1")
                refuse_bad_address(each, ("https", "http") if is_here else ("https",))
                refuse_credentials(each, "There is nothing to sign in to.")
            return found

        return self._read(name, read, list(default))

    def workspace(self, name: str) -> str:
        """A workspace of MLflow by MLflow's rule for names. MLflow's client in the worker would add its own
        MLFLOW_WORKSPACE to calls that name none, so one that differs is refused."""

        def read(raw: str) -> str:
            if not re.fullmatch(r"[a-z0-9][-a-z0-9]{0,61}[a-z0-9]", raw):
                raise ValueError(f"{raw!r} is no workspace: 2 to 63 small letters, digits and hyphens between them.")
            return raw

        found = self._read(name, read, "")
        theirs = os.environ.get("MLFLOW_WORKSPACE", "").strip()
        if theirs not in ("", found) and not self.is_bad(name):
            names = f"names {found}" if found else "is not set"
            self.problems.append(f"{name}: {names}, and MLFLOW_WORKSPACE names {theirs}. Take MLFLOW_WORKSPACE out.")
        return found

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """SQLite (WAL, IMMEDIATE, synchronous=FULL: the ledger survives a power cut) or PostgreSQL, for Django."""

        def read(raw: str) -> dict[str, Any]:
            if not raw.startswith(("sqlite:///", "postgres://", "postgresql://")):
                raise ValueError("use sqlite:///path or postgresql://user:password@host:port/name.")
            if raw.startswith("postgres"):
                refuse_bad_address(raw, ("postgresql", "postgres"))
                if not urlsplit(raw).path.strip("/"):
                    raise ValueError("names no database; use postgresql://user:password@host:port/name.")
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
            # What the address says itself goes before it.
            config["OPTIONS"] = {"connect_timeout": 5, **_LOST_PEER, **config.get("OPTIONS", {})}
        return config

    def email(self, name: str, *, is_needed: bool) -> dict[str, Any]:
        """Django's EMAIL_* settings. `smtp+tls` insists on STARTTLS, `smtp+ssl` is TLS from the first byte. Not set,
        mails are printed, which will not do where it `is_needed`; `none` is a process that sends no mail."""

        def read(raw: str) -> dict[str, Any]:
            parts = urlsplit(raw)
            if raw == "none":
                return {"EMAIL_BACKEND": "registry_ui.mail.NoMail"}
            if parts.scheme == "consolemail" and is_needed:
                raise ValueError(f"prints mails, {_REACHES_NO_ONE}")
            if parts.scheme in _MAIL_WITHOUT_SERVER:
                return {"EMAIL_BACKEND": f"django.core.mail.backends.{_MAIL_WITHOUT_SERVER[parts.scheme]}.EmailBackend"}
            if parts.scheme not in _MAIL_PORTS:
                raise ValueError("use smtp+tls://user:password@host:587, smtp+ssl://…, smtp://… or consolemail://.")
            refuse_bad_address(raw, (parts.scheme,))
            return {
                "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "EMAIL_HOST": parts.hostname,
                "EMAIL_PORT": parts.port or _MAIL_PORTS[parts.scheme],
                "EMAIL_HOST_USER": unquote(parts.username or ""),
                "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
                "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
                "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
            }

        printed = {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
        known = len(self.problems)
        given: dict[str, Any] | None = self._read(name, read, None)
        if given is None and is_needed and len(self.problems) == known:
            self.problems.append(f"{name}: is not set, {_REACHES_NO_ONE}")
        return given or printed

    def broker(self, name: str, *, default: str) -> str:
        """A Redis address with or without TLS, a socket, or `filesystem://`."""

        def read(raw: str) -> str:
            if not raw.startswith(("redis://", "rediss://", "redis+socket://", "filesystem://")):
                raise ValueError("use redis://host:port/0, redis+socket:///path or filesystem://.")
            if raw.startswith("redis+socket://"):
                if not urlsplit(raw).path:
                    raise ValueError("names no socket; use redis+socket:///path.")
            elif raw.startswith("redis"):
                refuse_bad_address(raw, ("redis", "rediss"))
                if not re.fullmatch(r"/?\d*", urlsplit(raw).path):
                    raise ValueError("the number of the Redis database comes at the end, such as redis://host:port/0.")
            return raw

        return self._read(name, read, default)

    def broker_options(self, url: str, folder: Path) -> dict[str, Any]:
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
        self._make("COUNTERSIGN_STATE_DIR", queue, control)
        return {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": str(control),
            "polling_interval": 0.1,
        }


_REACHES_NO_ONE = (
    "so invitations and password resets reach no one. Use smtp+tls://user:password@host:587; or none for beat and "
    "migrate, which send no mail."
)
_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
_MAIL_WITHOUT_SERVER = {"consolemail": "console", "memorymail": "locmem"}


def refuse_bad_address(raw: str, schemes: Sequence[str]) -> None:
    """Raises ValueError with a sentence. An address with credentials is not repeated in it."""
    parts = urlsplit(raw)
    shown = "the address" if "@" in raw else repr(raw)
    if parts.scheme not in schemes or not parts.hostname or re.search(r"\s", raw):
        raise ValueError(f"{shown} is not an address like {schemes[0]}://host:port.")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the port in {shown} is not a number from 1 to 65535.") from error
    if port == 0:
        raise ValueError(f"the port in {shown} is not a number from 1 to 65535.")


def refuse_credentials(raw: str, instead: str = "Leave them out.") -> None:
    """Raises ValueError. For addresses that are shown: on pages, to browsers, in /readyz and in the log."""
    if "@" in urlsplit(raw).netloc:
        raise ValueError(f"has a user or a password in it, which everybody would see. {instead}".strip())


def is_loopback(host: str | None) -> bool:
    """Whether only this machine reaches what has this name or address."""
    return host is not None and (host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)


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
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "filters": {"without_paths": {"()": "registry_ui.log_filters.WithoutPaths"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "httpx": {"level": "WARNING"},
                "urllib3": {"level": "ERROR"},
                "security": {"level": "INFO"},  # at whatever level the rest is
                "django.request": {"filters": ["without_paths"]},
                "django.security.csrf": {"filters": ["without_paths"]},
            },
        }
    )
