"""What went wrong, as RFC 9457 problems: one shape for everything below `/api/`, with a code for programs and the
sentence that the page would show for people."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.responses import NinjaJSONEncoder

from accounts import security_log
from api.encoding import as_json
from approvals.workflow import Conflict, WorkflowError
from components import addresses, database_away

MEDIA_TYPE = "application/problem+json"
CORRELATION = "Countersign-Correlation-Id"
"""On every answer; the log has it beside what went wrong."""

logger = structlog.get_logger(__name__)


class Problem(Exception):
    """Ends the request. `code` is a word for programs, `detail` a sentence; `more` are further members of the body."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.errors, self.more = dict(headers or {}), errors, more


class NotFound(Problem):
    def __init__(self, code: str, detail: str, **more: Any) -> None:
        super().__init__(404, code, detail, **more)


def answer(problem: Problem) -> HttpResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    content = as_json(body | problem.more, NinjaJSONEncoder)
    return HttpResponse(content, status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers)


def of(error: Exception) -> Problem:
    """What a client is told of it. What nobody foresaw is logged, with the number that the answer carries."""
    match error:
        case Problem():
            return error
        case WorkflowError():
            return _of_refusal(error)
        case ValidationError():
            errors = [{"pointer": _pointer(each["loc"]), "detail": _sentence(each["msg"])} for each in error.errors]
            return Problem(422, "invalid", _all(errors), errors=errors)
        case Http404():
            return NotFound("not_found", "There is nothing at this address.")
        case PermissionDenied():
            return Problem(403, "not_allowed", str(error) or "You may not do this.")
        case SuspiciousOperation():  # Django's word for what no good client sends, such as thousands of parameters
            return Problem(400, "malformed", "The request cannot be read.")
        case HttpError():
            return Problem(error.status_code, "malformed_json", "The body is not JSON.")
        case _:
            return _unforeseen(error)


def _of_refusal(error: WorkflowError) -> Problem:
    found = error.request if isinstance(error, Conflict) else None
    more: dict[str, Any] = {"request": found.pk, "url": addresses.absolute(found.get_absolute_url())} if found else {}
    return Problem(error.status, error.code, error.message, **more)


def _unforeseen(error: Exception) -> Problem:
    number = str(uuid.uuid4())
    headers = {CORRELATION: number}
    logger.error("api_failed", correlation_id=number, exc_info=error)
    if database_away.is_away(error):
        headers["Retry-After"] = str(database_away.RETRY_AFTER_SECONDS)
        return Problem(503, "unavailable", database_away.SENTENCE, headers=headers, correlation_id=number)
    detail = f"Countersign failed. Its log has more under {number}."
    return Problem(500, "failed", detail, headers=headers, correlation_id=number)


def _pointer(loc: Sequence[Any]) -> str:
    """`/body/model` or `/query/limit`: ninja names a body by its parameter, which no client knows."""
    source, *path = map(str, loc)
    if source == "body":
        path = path[1:]
    return "/" + "/".join(each.replace("~", "~0").replace("/", "~1") for each in (source, *path))


def _sentence(text: str) -> str:
    text = re.sub(r"^Value error, ", "", text)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _all(errors: Sequence[Mapping[str, str]]) -> str:
    return " ".join(f"{each['pointer']}: {each['detail']}" for each in errors[:3])


def tell(request: HttpRequest, error: Exception) -> HttpResponse:
    problem = of(error)
    security_log.note_denial(request, problem.code)
    return answer(problem)


Tell = Callable[[HttpRequest, Any], HttpResponse]


def install(api: NinjaAPI, told: Tell = tell) -> None:
    """Has every error of this API answered so."""
    for kind in (Exception, Http404, HttpError, ValidationError):
        api.add_exception_handler(kind, told)
