"""Reads settings from the environment and refuses nonsense with one readable message that names every bad variable.

Used by `registry_ui.settings` only. Every variable may also be given as NAME_FILE, the path of a file with the value.
"""

import base64
import logging.config
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import dj_database_url
import environs
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
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
            lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(self.problems))
            raise ImproperlyConfigured(f"Countersign cannot start:\n{lines}")

    def _read(self, name: str, read: Callable[[str], T], default: T) -> T:
        self.names.add(name)
        try:
            raw = self._env.str(name, default="").strip()
            return read(raw) if raw else default
        except (environs.EnvError, ValueError, OSError) as error:
            self.problems.append(f"{name}: {error}")
            return default

    def _is_bad(self, name: str) -> bool:
        return any(problem.startswith(f"{name}:") for problem in self.problems)

    def text(self, name: str, *, default: str = "") -> str:
        """As it stands. Like all readers here it raises nothing: what is wrong is kept for `refuse_nonsense`."""
        return self._read(name, str, default)

    def words(self, name: str) -> list[str]:
        """A comma-separated list."""
        return self._read(name, lambda raw: [word.strip() for word in raw.split(",") if word.strip()], [])

    def flag(self, name: str, *, default: bool) -> bool:
        """1, true, yes or on; 0, false, no or off."""

        def read(raw: str) -> bool:
            if raw.lower() in {"1", "true", "yes", "on"}:
                return True
            if raw.lower() in {"0", "false", "no", "off"}:
                return False
            raise ValueError(f"{raw!r} is neither true nor false.")

        return self._read(name, read, default)

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
        if not value and required and not self._is_bad(name):
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
            _refuse_bad_address(raw, schemes)
            _refuse_credentials(raw, credentials)
            if not may_have_path and urlsplit(raw)[2:] not in {("", "", ""), ("/", "", "")}:
                raise ValueError("must end after the host and port; Countersign cannot live below a path.")
            return raw.rstrip("/")

        return self._read(name, read, default)

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """SQLite (WAL, IMMEDIATE, synchronous=FULL: the ledger survives a power cut) or PostgreSQL, for Django."""

        def read(raw: str) -> dict[str, Any]:
            if not raw.startswith(("sqlite:///", "postgres://", "postgresql://")):
                raise ValueError("use sqlite:///path or postgresql://user:password@host:port/name.")
            if raw.startswith("postgres"):
                _refuse_bad_address(raw, ("postgresql", "postgres"))
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
            config.setdefault("OPTIONS", {})["connect_timeout"] = 5
        return config

    def email(self, name: str, *, default: str) -> dict[str, Any]:
        """Django's EMAIL_* settings. `smtp+tls` insists on STARTTLS, `smtp+ssl` is TLS from the first byte."""

        def read(raw: str) -> dict[str, Any]:
            parts = urlsplit(raw)
            if parts.scheme in _MAIL_WITHOUT_SERVER:
                return {"EMAIL_BACKEND": f"django.core.mail.backends.{_MAIL_WITHOUT_SERVER[parts.scheme]}.EmailBackend"}
            if parts.scheme not in _MAIL_PORTS:
                raise ValueError("use smtp+tls://user:password@host:587, smtp+ssl://…, smtp://… or consolemail://.")
            _refuse_bad_address(raw, (parts.scheme,))
            return {
                "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "EMAIL_HOST": parts.hostname,
                "EMAIL_PORT": parts.port or _MAIL_PORTS[parts.scheme],
                "EMAIL_HOST_USER": unquote(parts.username or ""),
                "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
                "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
                "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
            }

        return self._read(name, read, read(default))

    def broker(self, name: str, *, default: str) -> str:
        """A Redis address with or without TLS, a socket, or `filesystem://`."""

        def read(raw: str) -> str:
            if not raw.startswith(("redis://", "rediss://", "redis+socket://", "filesystem://")):
                raise ValueError("use redis://host:port/0, redis+socket:///path or filesystem://.")
            if raw.startswith("redis+socket://"):
                if not urlsplit(raw).path:
                    raise ValueError("names no socket; use redis+socket:///path.")
            elif raw.startswith("redis"):
                _refuse_bad_address(raw, ("redis", "rediss"))
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

    def openid_connect(self) -> dict[str, Any]:
        """django-allauth's provider settings from COUNTERSIGN_OIDC_*; empty when no issuer is named."""
        issuer = self._issuer()
        client_id = self.text("COUNTERSIGN_OIDC_CLIENT_ID")
        secret = self.text("COUNTERSIGN_OIDC_CLIENT_SECRET")
        label = self.text("COUNTERSIGN_OIDC_NAME", default="Single sign-on")
        scope = self.text("COUNTERSIGN_OIDC_SCOPE", default="openid email profile").split()
        if "openid" not in scope:
            self.problems.append("COUNTERSIGN_OIDC_SCOPE: must contain openid.")
        is_named = bool(issuer) or self._is_bad("COUNTERSIGN_OIDC_ISSUER")
        if is_named != bool(client_id):
            self.problems.append("COUNTERSIGN_OIDC_ISSUER: and COUNTERSIGN_OIDC_CLIENT_ID go together; one is not set.")
        if secret and not (is_named or client_id):
            self.problems.append("COUNTERSIGN_OIDC_CLIENT_SECRET: is set, but COUNTERSIGN_OIDC_ISSUER is not.")
        if not issuer:
            return {}
        app = {
            "provider_id": "oidc",
            "name": label,
            "client_id": client_id,
            "secret": secret,
            "settings": {"server_url": issuer, "oauth_pkce_enabled": True, "scope": scope},
        }
        return {"openid_connect": {"APPS": [app]}}

    def oidc_origins(self) -> list[str]:
        """Where a sign-in form may lead besides this site: to the identity provider, and to those that it hands on to.

        Chromium holds every redirect after a form against the policy of the page with the form.
        """
        extra = self.words("COUNTERSIGN_OIDC_EXTRA_ORIGINS")
        for origin in extra:
            try:
                _refuse_bad_address(origin, ("https", "http"))
                _refuse_credentials(origin)
            except ValueError as error:
                self.problems.append(f"COUNTERSIGN_OIDC_EXTRA_ORIGINS: {error}")
        return [f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, [self._issuer(), *extra]) if parts.netloc]

    def _issuer(self) -> str:
        """HTTPS, because the token endpoint's answer is believed for the sake of TLS; HTTP on this machine alone."""

        def read(raw: str) -> str:
            _refuse_bad_address(raw, ("https", "http"))
            _refuse_credentials(raw, "Use COUNTERSIGN_OIDC_CLIENT_ID and COUNTERSIGN_OIDC_CLIENT_SECRET.")
            if urlsplit(raw).scheme == "http" and urlsplit(raw).hostname not in {"127.0.0.1", "::1", "localhost"}:
                raise ValueError("must be https; otherwise anyone in between could sign in as any person.")
            return raw.rstrip("/")

        return self._read("COUNTERSIGN_OIDC_ISSUER", read, "")


_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
_MAIL_WITHOUT_SERVER = {"consolemail": "console", "memorymail": "locmem"}


def _refuse_bad_address(raw: str, schemes: Sequence[str]) -> None:
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


def _refuse_credentials(raw: str, instead: str = "Leave them out.") -> None:
    """Raises ValueError. For addresses that are shown: on pages, to browsers, in /readyz and in the log."""
    if "@" in urlsplit(raw).netloc:
        raise ValueError(f"has a user or a password in it, which everybody would see. {instead}".strip())


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
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {"httpx": {"level": "WARNING"}, "urllib3": {"level": "ERROR"}},
        }
    )
