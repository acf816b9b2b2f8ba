"""Databricks' calls at MLflow's own address, so that one host serves the whole of `w.model_registry`.

What MLflow does not have is sent on to Countersign with the caller's token: transition requests, comments, registry
webhooks. What only looks otherwise on Databricks is put as MLflow reads it. All else passes by untouched, and so does
the gate: it stands at the store, which nothing here comes near.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from mlflow_gate import __version__
from mlflow_gate.source import opener

log = logging.getLogger("mlflow_gate")

PLAIN, PREVIEW = "/api/2.0/mlflow/", "/api/2.0/preview/mlflow/"
DISCOVERY = "/.well-known/databricks-config"
ME = frozenset({"/api/2.0/preview/scim/v2/Me", "/api/2.0/scim/v2/Me"})
CALLS = frozenset(
    {
        "comments/create",
        "comments/delete",
        "comments/update",
        "databricks/model-versions/transition-stage",
        "databricks/registered-models/get",
        "registry-webhooks/create",
        "registry-webhooks/delete",
        "registry-webhooks/list",
        "registry-webhooks/test",
        "registry-webhooks/update",
        "transition-requests/approve",
        "transition-requests/create",
        "transition-requests/delete",
        "transition-requests/list",
        "transition-requests/reject",
    }
)
"""What Countersign answers, below either of the two roots."""

WITH_QUERY = frozenset(
    {
        "model-versions/delete",
        "model-versions/delete-tag",
        "registered-models/delete",
        "registered-models/delete-tag",
    }
)
"""Databricks' clients say in the query what is to be deleted, MLflow reads it in the body."""

PASSED_ON = {
    "HTTP_AUTHORIZATION": "Authorization",
    "CONTENT_TYPE": "Content-Type",
    "HTTP_USER_AGENT": "User-Agent",
    "HTTP_X_COUNTERSIGN_RUN": "X-Countersign-Run",
}
PASSED_BACK = ("Content-Type", "Retry-After", "WWW-Authenticate")

TIMEOUT = 20
AT_ONCE = 8
"""So many calls of a process wait for Countersign at a time. MLflow has forty threads for all that is asked of it, and
training does not stand still because of an approval."""
LARGEST_REQUEST = 1024 * 1024
LARGEST_ANSWER = 10 * 1024 * 1024
COME_AGAIN = 5
"""Seconds that clients are told to wait."""

AWAY = "Countersign cannot be reached from MLflow at the moment. Nothing was done."
UNKNOWN = "Countersign did not answer MLflow. It may have been done: see how it is before you send it again."
BUSY = "Countersign is asked too much at once through MLflow. Nothing was done."

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Databricks:
    """Around MLflow's WSGI application. `site` is where this server reaches Countersign, `prefix` what MLflow's own
    addresses begin with."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], site: str, prefix: str = "") -> None:
        self._inner, self._site, self._prefix = inner, site, prefix.rstrip("/")
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if self._prefix and path.startswith(f"{self._prefix}/"):
            path = path[len(self._prefix) :]
        path = path.rstrip("/")
        if path == DISCOVERY:
            return _send(start_response, 200, b"{}")
        call = _below(path)
        if call in CALLS or path in ME:
            return self._forward(environ, path, start_response)
        if call is not None:
            _put_as_mlflow_reads_it(environ, self._prefix, call)
        return self._inner(environ, start_response)

    def _forward(self, environ: Environ, path: str, start_response: StartResponse) -> Iterable[bytes]:
        length = str(environ.get("CONTENT_LENGTH") or "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > LARGEST_REQUEST:
            return _refuse(start_response, 413, "BAD_REQUEST", f"At most {LARGEST_REQUEST // 1024} kB are taken.")
        # Before it takes a place: who sends slowly, with a token or none, keeps no one from Countersign.
        body = environ["wsgi.input"].read(int(length))
        if not self._places.acquire(blocking=False):
            return _unavailable(start_response, BUSY)
        try:
            return self._ask(environ, path, body, start_response)
        finally:
            self._places.release()

    def _ask(self, environ: Environ, path: str, body: bytes, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        query = environ.get("QUERY_STRING", "")
        address = f"{self._site}/databricks{path}" + (f"?{query}" if query else "")
        asked = urllib.request.Request(  # noqa: S310 — the operator's own address
            address, data=body or None, headers=_headers(environ), method=method
        )
        try:
            with opener.open(asked, timeout=TIMEOUT) as answer:
                status, headers, content = answer.status, answer.headers, answer.read(LARGEST_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                status, headers, content = error.code, error.headers, _rest(error)
        except (ValueError, http.client.InvalidURL):  # a control character, or a letter that no address has
            return _refuse(start_response, 400, "BAD_REQUEST", "The call cannot be read.")
        except (OSError, http.client.HTTPException) as error:
            log.warning("A call of Databricks' API could not be sent on to Countersign: %r", error)
            is_harmless = method == "GET" or _is_unsent(error)
            return _unavailable(start_response, AWAY) if is_harmless else _unknown(start_response)
        is_json = headers.get("Content-Type", "").startswith("application/json")
        if len(content) > LARGEST_ANSWER or not is_json or 300 <= status < 400:
            log.warning("What answered at %s with status %s is not Countersign.", self._site, status)
            is_passing = method == "GET" and status in (502, 503, 504)
            return _unavailable(start_response, AWAY) if is_passing else _unknown(start_response)
        passed = {name: headers[name] for name in PASSED_BACK if headers.get(name)}
        return _send(start_response, status, content, passed)


def _below(path: str) -> str | None:
    """What follows one of the two roots; None elsewhere."""
    for root in (PLAIN, PREVIEW):
        if path.startswith(root):
            return path[len(root) :]
    return None


def _put_as_mlflow_reads_it(environ: Environ, prefix: str, call: str) -> None:
    """The same call in MLflow's words: without `preview`, `list` as `search`, and what to delete in the body."""
    if not call.startswith(("registered-models/", "model-versions/")):
        return
    if call == "registered-models/list":
        environ["PATH_INFO"] = f"{prefix}{PLAIN}registered-models/search"
    elif f"{PREVIEW}{call}" in environ["PATH_INFO"]:
        environ["PATH_INFO"] = f"{prefix}{PLAIN}{call}"
    query, has_body = environ.get("QUERY_STRING", ""), environ.get("CONTENT_LENGTH") not in (None, "", "0")
    if call in WITH_QUERY and environ["REQUEST_METHOD"] == "DELETE" and query and not has_body:
        body = json.dumps(dict(urllib.parse.parse_qsl(query, keep_blank_values=True))).encode()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"] = str(len(body)), "application/json"


def _headers(environ: Environ) -> dict[str, str]:
    """Of what came the few that Countersign reads; nothing else leaves this host."""
    headers = {name: environ[key] for key, name in PASSED_ON.items() if environ.get(key)}
    headers.setdefault("User-Agent", f"countersign-mlflow-gate/{__version__}")
    hops = [environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("REMOTE_ADDR", "")]
    headers["X-Forwarded-For"] = ", ".join(filter(None, hops))
    return headers


def _rest(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(LARGEST_ANSWER + 1)
    except (OSError, http.client.HTTPException):
        return b""


def _is_unsent(error: BaseException) -> bool:
    """Whether Countersign cannot have heard of it, so that sending it again does nothing twice."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, (ConnectionRefusedError, socket.gaierror))


def _unavailable(start_response: StartResponse, message: str) -> Iterable[bytes]:
    """Databricks' clients send it again, for minutes."""
    return _refuse(start_response, 503, "TEMPORARILY_UNAVAILABLE", message, {"Retry-After": str(COME_AGAIN)})


def _unknown(start_response: StartResponse) -> Iterable[bytes]:
    """They raise this at once: what may have been done is not to be done twice."""
    return _refuse(start_response, 500, "INTERNAL_ERROR", UNKNOWN)


def _refuse(
    start_response: StartResponse, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Iterable[bytes]:
    return _send(start_response, status, json.dumps({"error_code": code, "message": message}).encode(), headers)


def _send(
    start_response: StartResponse, status: int, content: bytes, headers: Mapping[str, str] | None = None
) -> Iterable[bytes]:
    told = {"Content-Type": "application/json", **(headers or {}), "Content-Length": str(len(content))}
    start_response(f"{status} {HTTPStatus(status).phrase}", list(told.items()))
    return [content]
