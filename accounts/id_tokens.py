"""Identity tokens of pipelines: what GitHub Actions and GitLab say, signed, of the job that shows one.

Keys are fetched from the issuer at an address that its kind has, never one that a token names, and only from issuers
that the installation allows. This is the one call that the web process makes to the outside, so it is bounded: at most
one a minute for each issuer, a few seconds, a few kilobytes, no redirects.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import requests
import structlog
from django.core.cache import cache
from urllib3.exceptions import HTTPError

from accounts.tokens import Refusal

logger = structlog.get_logger(__name__)

GITHUB, GITLAB = "github", "gitlab"
PROVIDERS = {GITHUB: "GitHub Actions", GITLAB: "GitLab"}
OF_THEIRS = {"https://token.actions.githubusercontent.com": GITHUB, "https://gitlab.com": GITLAB}
"""What the best known issuers are."""

_KEYS_AT = {GITHUB: "/.well-known/jwks", GITLAB: "/oauth/discovery/keys"}

ALGORITHMS = ["RS256", "ES256"]
"""Never one with a shared secret: then the issuer's public key would be it."""

LEEWAY_SECONDS = 60
LONGEST_TOKEN = 16_000
LONGEST_CLAIM = 300
MOST_KEY_BYTES, MOST_KEYS = 200_000, 100
FETCH_SECONDS = 5
KEYS_LAST_SECONDS = 600
FETCH_EVERY_SECONDS = 60
"""A key that is not known has the keys fetched again, at most this often."""

TRY_AGAIN_SECONDS = 15
"""After an issuer did not answer."""


class Refused(Exception):
    """The identity token is not accepted; `refusal` says why. `is_temporary`: it may be when it is tried again."""

    def __init__(self, code: str, detail: str, *, is_temporary: bool = False) -> None:
        super().__init__(detail)
        self.refusal, self.is_temporary = Refusal(code, detail), is_temporary


@dataclass(frozen=True, slots=True)
class Job:
    """What the issuer says of the job; signed, and bounded."""

    issuer: str
    repository: str
    repository_id: str
    """Stays what it is when the repository is renamed; another repository of the same name has another one."""

    ref: str
    """`refs/heads/main`."""

    environment: str
    """ "" where the job has none."""

    run: str
    """Link to the run or the job."""

    token_id: str
    """By which the identity token is known again (`jti`)."""


def issuer_of(text: str) -> str:
    """Who is said to have signed it; believed of no one. Raises Refused for what is no identity token."""
    if len(text) > LONGEST_TOKEN:
        raise Refused("id_token_malformed", "This is not an identity token: it is too long.")
    try:
        told = jwt.decode(text, options={"verify_signature": False, "verify_exp": False})
    except (jwt.PyJWTError, RecursionError, ValueError) as error:
        raise Refused("id_token_malformed", "This is not an identity token: it cannot be read.") from error
    issuer = told.get("iss")
    return issuer if isinstance(issuer, str) else ""


def verified(text: str, *, issuer: str, provider: str, audience: str) -> Job:
    """The job that this identity token is of. `issuer` is one that the installation allows and `provider` its kind.
    Raises Refused."""
    try:
        head = jwt.get_unverified_header(text)
        key = _key(issuer, provider, str(head.get("kid") or ""))
        told = jwt.decode(
            text,
            key,
            algorithms=ALGORITHMS,
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "aud", "iss", "jti"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise Refused("id_token_expired", "The identity token has expired. Ask for a new one in the job.") from error
    except jwt.InvalidAudienceError as error:
        detail = f"The identity token is for another audience. Ask for one with the audience {audience}."
        raise Refused("wrong_audience", detail) from error
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        # What exactly was wrong is for the log: the sentence goes to anybody who asks.
        logger.warning("id_token_refused", issuer=issuer, reason=type(error).__name__)
        raise Refused("id_token_invalid", f"The identity token is not one of {issuer}, or cannot be used.") from error
    return _github(told, issuer) if provider == GITHUB else _gitlab(told, issuer)


def _github(told: Mapping[str, Any], issuer: str) -> Job:
    repository, run = _claim(told, "repository"), _claim(told, "run_id")
    server = "https://github.com" if issuer in OF_THEIRS else _origin(issuer)
    return Job(
        issuer=issuer,
        repository=repository,
        repository_id=_claim(told, "repository_id"),
        ref=_claim(told, "ref"),
        environment=_claim(told, "environment", is_needed=False),
        run=f"{server}/{repository}/actions/runs/{run}",
        token_id=_claim(told, "jti"),
    )


def _gitlab(told: Mapping[str, Any], issuer: str) -> Job:
    repository, job = _claim(told, "project_path"), _claim(told, "job_id")
    return Job(
        issuer=issuer,
        repository=repository,
        repository_id=_claim(told, "project_id"),
        ref=_claim(told, "ref_path"),
        environment=_claim(told, "environment", is_needed=False),
        run=f"{issuer}/{repository}/-/jobs/{job}",
        token_id=_claim(told, "jti"),
    )


def _origin(issuer: str) -> str:
    return "/".join(issuer.split("/", 3)[:3])


def _claim(told: Mapping[str, Any], name: str, *, is_needed: bool = True) -> str:
    value = told.get(name)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if len(text) > LONGEST_CLAIM or not text.isprintable() or (is_needed and not text):
        raise Refused("id_token_invalid", f"The identity token does not say what is needed: {name}.")
    return text


# --- Keys of an issuer ------------------------------------------------------------------------------------------------


def _key(issuer: str, provider: str, kid: str) -> jwt.PyJWK:
    """Raises Refused."""
    name = f"id-token-keys:{issuer}"
    kept = cache.get(name)
    found = _named(kept, kid) if kept is not None else None
    # Of several at once, one fetches; and no one can make this process fetch all the time with keys that are not known.
    if found is None and cache.add(f"{name}:fetched", True, FETCH_EVERY_SECONDS):
        kept = _fetched(f"{issuer}{_KEYS_AT[provider]}")
        if kept is None:
            cache.set(f"{name}:fetched", True, TRY_AGAIN_SECONDS)
        else:
            cache.set(name, kept, KEYS_LAST_SECONDS)
            found = _named(kept, kid)
    if found is not None:
        return found
    if kept is None:
        detail = f"The keys of {issuer} could not be read just now. Try again in half a minute."
        raise Refused("issuer_unreachable", detail, is_temporary=True)
    raise Refused("id_token_invalid", f"The identity token is not signed by a known key of {issuer}.")


def _named(keys: list[dict[str, Any]], kid: str) -> jwt.PyJWK | None:
    for each in keys:
        if kid and each.get("kid") == kid and each.get("use", "sig") == "sig" and each.get("kty") in ("RSA", "EC"):
            return jwt.PyJWK(each, algorithm="RS256" if each["kty"] == "RSA" else "ES256")
    return None


def _fetched(address: str) -> list[dict[str, Any]] | None:
    """What the issuer publishes; None when it does not answer, or with something else."""
    until = time.monotonic() + FETCH_SECONDS
    body = b""
    try:
        with requests.get(address, timeout=FETCH_SECONDS / 2, allow_redirects=False, stream=True) as answer:
            if answer.status_code != 200:
                raise ValueError(f"answered {answer.status_code}")
            while part := answer.raw.read1(16_384, decode_content=True):
                body += part
                if len(body) > MOST_KEY_BYTES or time.monotonic() > until:
                    raise ValueError("is too long, or too slow")
        keys = json.loads(body)["keys"]
        if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
            raise ValueError("has no list of keys")
    except (requests.RequestException, HTTPError, ValueError, KeyError, TypeError, RecursionError) as error:
        logger.warning("keys_not_fetched", address=address, error=type(error).__name__)
        return None
    return keys[:MOST_KEYS]
