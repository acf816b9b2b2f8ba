"""API tokens: how one looks, what it can be used for, and whether one that came is good.

A token is `csn_`, 40 random characters (238 bits) and 6 of their CRC-32, all base62, by which scanners for secrets tell
it from other text. So much chance needs no slow hash: SHA-256 is stored, and found by an index.
"""

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import roles
from accounts.models import ApiToken, User, role_held_by

PREFIX = "csn_"
SHOWN = len(PREFIX) + 6
"""So many characters of a token are kept to know it by."""

DEFAULT_DAYS, MOST_DAYS = 90, 365

SCOPES = {
    "read": "Read models, versions, targets, requests, checks and incidents.",
    "evidence:read": "Read the evidence of requests, and certificates.",
    "requests:write": "Request promotions, comment, submit again and withdraw.",
    "reviews:write": "Review requests.",
    "checks:write": "Report results of external checks.",
    "gate": "Read the policy that the gate in MLflow enforces.",
    "webhooks:write": "Add, test and delete webhooks (administrators only).",
    "audit:read": "Read events, and the population and samples of audits.",
}
PERSONS_ONLY = frozenset({"reviews:write"})
"""A service account never signs, whatever its token says."""

RUN_HEADER = "X-Countersign-Run"
"""In which a program links the run of the pipeline for which it acts."""

MOST_OF_A_LINK = 500

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(r"csn_([0-9A-Za-z]{40})([0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class Identity:
    """A good token. What it was read with does not change during the request."""

    token: ApiToken
    scopes: frozenset[str]
    has_role: bool
    """Of its account, or of who answers for that: a program may need none of its own, such as one that reports checks.
    Without any, nothing can be done with the token."""

    @property
    def user(self) -> User:
        """As whom it acts: a person or a service account."""
        return self.token.account


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: a code for programs and a sentence for people."""

    code: str
    detail: str


MALFORMED = Refusal("token_malformed", "This is not a token of Countersign, or a part of it is missing.")
UNKNOWN = Refusal("token_unknown", "Countersign does not know this token.")
REVOKED = Refusal("token_revoked", "This token was revoked. Make a new one.")
EXPIRED = Refusal("token_expired", "This token has expired. Make a new one.")
INACTIVE = Refusal("account_inactive", "The account of this token is deactivated.")
NO_OWNER = Refusal(
    "owner_inactive",
    "The service account of this token has no active owner. An administrator can set one under People.",
)

NO_ROLE = Refusal("role_required", roles.NEEDED)


def generate() -> str:
    """A new token. Show it once; `digest_of` and `prefix_of` are what may be kept."""
    body = "".join(secrets.choice(_BASE62) for _ in range(40))
    return f"{PREFIX}{body}{_checksum(body)}"


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prefix_of(text: str) -> str:
    return text[:SHOWN]


def of_digest(digest: str) -> "QuerySet[ApiToken]":
    """The one token with this digest, whose it is, and whether they or their owner have a role (`has_role`)."""
    has_role = role_held_by("account") | role_held_by("account__owner")
    found: QuerySet[ApiToken] = ApiToken.objects.filter(digest=digest).select_related("account__owner")
    return found.annotate(has_role=has_role)


def authenticate(
    text: str, *, address: str, find: Callable[[str], Iterable[ApiToken]] = of_digest
) -> Identity | Refusal:
    """Whose token this is. One query, whether it is good or not, and an UPDATE when it is used for the first time in an
    hour; none for what is no token at all. `address` is the client's, `find` another way to ask `of_digest`. Records no
    event."""
    found = _SHAPE.fullmatch(text)
    # The checksum is no secret: it only saves the query, and says that a token was cut off.
    if found is None or _checksum(found[1]) != found[2]:
        return MALFORMED
    token = next(iter(find(digest_of(text))), None)
    if token is None:
        return UNKNOWN
    if refusal := _refusal(token):
        return refusal
    _note_use(token, address)
    scopes = frozenset(map(str, token.scopes)) & SCOPES.keys()
    scopes -= PERSONS_ONLY if token.account.is_service_account else frozenset()
    # `of_digest` annotates it.
    return Identity(token, scopes, has_role=token.has_role)  # type: ignore[attr-defined]


def lacks(identity: Identity, scope: str) -> Refusal | None:
    """Why the token must not be used for this, `scope` being one of SCOPES; None if it may."""
    if scope in identity.scopes:
        return None
    if scope in PERSONS_ONLY and identity.user.is_service_account:
        return Refusal("persons_only", "Service accounts never sign; a person must review it.")
    return Refusal("scope_missing", f"The token {identity.token.name} lacks the scope {scope}. Make one that has it.")


def scopes_of(account: User) -> list[str]:
    """The scopes that a token of this account can have, in their order."""
    return [scope for scope in SCOPES if not (account.is_service_account and scope in PERSONS_ONLY)]


def problem_of_scopes(scopes: Iterable[str], account: User) -> str:
    """Why a token of this account cannot have these, as a sentence; "" if it can."""
    wanted = set(scopes)
    if unknown := sorted(wanted - SCOPES.keys()):
        return f"There is no scope {', '.join(unknown)}."
    if account.is_service_account and wanted & PERSONS_ONLY:
        return "A service account never signs, so its tokens cannot have the scope reviews:write."
    return "" if wanted else "Choose at least one scope."


def run_link(text: str) -> str:
    """What came in RUN_HEADER, "" if nothing did. Raises ValueError, with a sentence, for what is no http(s) URL, or
    has credentials in it, which the ledger would keep."""
    text = text.strip()
    if not text:
        return ""
    refused = f"{RUN_HEADER} must be an http or https URL of at most {MOST_OF_A_LINK} characters, without credentials."
    if len(text) > MOST_OF_A_LINK or not text.isascii() or not text.isprintable() or set(text) & set(' <>"\\^`{|}'):
        raise ValueError(refused)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(refused) from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ValueError(refused)
    return text


def _checksum(body: str) -> str:
    left, told = zlib.crc32(body.encode()), ""
    for _ in range(6):
        left, digit = divmod(left, 62)
        told = _BASE62[digit] + told
    return told


def _refusal(token: ApiToken) -> Refusal | None:
    account = token.account
    if token.revoked_at is not None:
        return REVOKED
    if token.expires_at <= timezone.now():
        return EXPIRED
    if not account.is_active:
        return INACTIVE
    return None if account.is_answered_for else NO_OWNER


def _note_use(token: ApiToken, address: str) -> None:
    """The first use in each hour: a program that asks all the time writes once in it, and of two at once one writes."""
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    if token.last_used_at is None or token.last_used_at < hour:
        unused = Q(last_used_at=None) | Q(last_used_at__lt=hour)
        ApiToken.objects.filter(unused, pk=token.pk).update(last_used_at=now, last_used_from=address[:45])
