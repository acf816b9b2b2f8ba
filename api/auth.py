"""Whose token a request carries and what it may be used for. A session is not looked at, so no other site can have a
browser ask in a person's name."""

from django.http import HttpRequest
from ninja.security.base import AuthBase

from accounts import security_log, tokens
from accounts.models import ApiToken, User
from accounts.security_log import Event, address_of
from api import limits
from api.problems import Problem
from approvals import administration
from mirror import composed

REALM = 'Bearer realm="Countersign"'


class ApiRequest(HttpRequest):
    """What an operation gets: a request whose token has been read."""

    auth: tokens.Identity
    address: str
    """The client's."""

    kept_answer: str
    """What is kept of an answer that holds a secret, for `idempotency`."""


class Token(AuthBase):
    """`auth=Token("requests:write")` at an operation: a bearer token with this scope."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "A token of Countersign: `Authorization: Bearer csn_…`."

    def __init__(self, scope: str) -> None:
        """Raises ValueError for a scope that there is not."""
        super().__init__()
        if scope not in tokens.SCOPES:
            raise ValueError(scope)
        self.scope = scope

    def __call__(self, request: HttpRequest) -> tokens.Identity:
        """Raises Problem: as `identify`, and 403 for one without the scope."""
        identity = identify(request)
        if refusal := tokens.lacks(identity, self.scope):
            challenge = f'{REALM}, error="insufficient_scope", scope="{self.scope}"'
            raise Problem(403, refusal.code, refusal.detail, headers={"WWW-Authenticate": challenge})
        return identity


class AnyToken(AuthBase):
    """`auth=AnyToken()`: any good token, whatever its scopes."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    scope = ""

    def __call__(self, request: HttpRequest) -> tokens.Identity:
        """Raises Problem: as `identify`."""
        return identify(request)


def identify(request: HttpRequest) -> tokens.Identity:
    """Whose token this is, whatever its scopes. Raises Problem: 401, 403 for who has
    no role, and 429 for who asks too often."""
    address = address_of(request)
    request.address = address  # type: ignore[attr-defined]
    scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
    is_given = scheme.lower() == "bearer" and bool(text)
    found = tokens.authenticate(text.strip(), address=address, find=_find) if is_given else NONE
    if isinstance(found, tokens.Refusal):
        limits.check_address(address)
        security_log.record(Event.TOKEN_REFUSED, request, reason=found.code)
        challenge = f'{REALM}, error="invalid_token"' if is_given else REALM
        raise Problem(401, found.code, found.detail, headers={"WWW-Authenticate": challenge})
    limits.check_token(found.token.pk)
    if not found.has_role:
        raise Problem(403, tokens.NO_ROLE.code, tokens.NO_ROLE.detail)
    return found


def _find(digest: str) -> list[ApiToken]:
    return composed.objects(tokens.of_digest, digest)


NONE = tokens.Refusal("token_missing", "Send a token of Countersign: Authorization: Bearer csn_….")


def need(user: User, permission: str) -> None:
    """Raises Problem 403, with the sentence of the page, unless the person may do what `permission` stands for."""
    answer = administration.may(user, permission)
    if not answer:
        raise Problem(403, answer.code or "not_allowed", answer.reason)
