"""The description of the API, OpenAPI 3.1: what ninja knows, and what it leaves out: the scope of each operation and
the problems that each can answer."""

import re
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from accounts import tokens
from api import idempotency, problems
from api.auth import Token

SCHEME = "token"
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is a word for programs, `detail` the sentence that the page would show.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "url": {"type": "string", "description": "The page where a person sees more, or can do it."},
        "request": {"type": "integer", "description": "Of `already_open`: the request that there is."},
        "correlation_id": {"type": "string", "description": "Of 500 and 503: what the log has it under."},
    },
}
WORDS = {
    400: "The body is not JSON.",
    401: "No token, or not a good one.",
    403: "The token lacks the scope, or the person may not do it.",
    404: "There is no such thing.",
    409: "It is otherwise by now, or the same request still runs.",
    413: "The body is too large.",
    422: "Something that was sent makes no sense.",
    429: "Too many requests; `Retry-After` has the seconds to wait.",
    500: "Countersign failed; its log has more under `correlation_id`.",
    503: "The database does not answer; `Retry-After` has the seconds to wait.",
}
_KEY = {
    "in": "header",
    "name": idempotency.HEADER,
    "required": False,
    "description": "Sent a second time within 24 hours, the first answer comes again and nothing is done twice.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}


class Description(OpenAPISchema):
    def operation_security(self, operation: Operation) -> list[dict[str, Any]] | None:
        """One scheme, and of OpenAPI 3.1 the words that a bearer token needs: the scope."""
        if not operation.auth_callbacks:
            return []
        self.securitySchemes[SCHEME] = {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "csn_…",
            "description": Token.openapi_description,
            "x-scopes": dict(tokens.SCOPES),
        }
        return [{SCHEME: [scope_of(operation)] if scope_of(operation) else []}]

    def operation_parameters(self, operation: Operation) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().operation_parameters(operation)
        return [*found, _KEY] if "POST" in operation.methods and operation.auth_callbacks else found

    def responses(self, operation: Operation) -> dict[int, dict[str, Any]]:
        """Those of the operation, and what every one of its kind can answer besides."""
        found: dict[int, dict[str, Any]] = super().responses(operation)
        self.schemas["Problem"] = PROBLEM
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for status in statuses(operation):
            known = found.setdefault(status, {"description": WORDS[status]})
            known["content"] = content
        if "GET" in operation.methods:
            found[304] = {"description": "The client has it already, as `If-None-Match` says."}
        return dict(sorted(found.items()))


def statuses(operation: Operation) -> list[int]:
    """The problems that an operation can answer: those of its kind, and those that its description names."""
    found = [422, 429, 500, 503, *(int(each) for each in re.findall(r"\b4\d\d\b", operation.description or ""))]
    if operation.auth_callbacks:
        found += [401, 403]
    if re.search(r"{.*}", operation.path):
        found.append(404)
    if "GET" not in operation.methods:
        found += [400, 409, 413]
    return sorted(set(found))


def scope_of(operation: Operation) -> str:
    """The scope that it needs; "" for none."""
    return next((each.scope for each in operation.auth_callbacks if isinstance(each, Token)), "")


class Api(NinjaAPI):
    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Made once: it hangs on the code alone."""
        if path_prefix is None:
            path_prefix = self.get_root_path(path_params or {})
        if (known := self._known.get(path_prefix)) is None:
            known = self._known[path_prefix] = Description(self, path_prefix)
        return known

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: dict[str, OpenAPISchema] = {}

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The function's name, which is the name of the call in what is generated from the description."""
        return operation.view_func.__name__
