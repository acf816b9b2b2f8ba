"""One call of the API: the token, retries, and an answer or an error that says what happened."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from countersign.errors import Misconfigured, Refused, Unavailable

TRIES = 5
LONGEST_PAUSE = 60.0
TRANSIENT = {429, 502, 503, 504}
"""Answered before anything was done, or by a proxy: the same call may be made again."""

UNKNOWN = 500
"""It may have been done or not: made again only because each call that changes something carries a key."""

NOISE = re.compile(r"\[Errno -?\d+\] |\(_ssl\.c:\d+\)")
"""In the words of an error of the system."""


class Credentials(Protocol):
    """Where the token comes from; "" is none."""

    def token(self) -> str: ...

    def renew(self) -> bool:
        """Called when the token was not accepted; whether there is another one to try."""
        ...


class Bearer(AuthBase):
    """As `auth` and not as a header: a header is replaced by what a .netrc says of the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Transport:
    """`url` is the site's address, as people open it. REQUESTS_CA_BUNDLE and HTTPS_PROXY count, as requests has it."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout: float,
        headers: dict[str, str],
        tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Misconfigured(
                f"COUNTERSIGN_URL is {url!r}; it has to be an address such as https://countersign.example."
            )
        if parts.username or parts.password:
            raise Misconfigured("COUNTERSIGN_URL has a name or password in it; the token goes into COUNTERSIGN_TOKEN.")
        self.url = url.rstrip("/")
        self._host = parts.netloc
        self._credentials = credentials
        self._timeout = timeout
        self._tries = tries
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers.update(headers)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: Any = None,
        key: str = "",
        longer: float = 0,
        tries: int = 0,
    ) -> requests.Response:
        """The answer, which is a success. Each POST has an idempotency key, so it is tried again as a GET is. `longer`
        is how many seconds the server may take beyond the timeout. Raises Refused, Unavailable and Misconfigured."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex} if method == "POST" else {}
        given = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        tries = tries or self._tries
        has_renewed = False
        count = 0
        while True:
            count += 1
            last = count >= tries
            try:
                answer = self._session.request(
                    method,
                    f"{self.url}/api/v1{path}",
                    params=given,
                    json=body,
                    headers=headers,
                    auth=Bearer(self._credentials.token()),
                    timeout=(min(self._timeout, 10), self._timeout + longer),
                    allow_redirects=False,
                )
            except requests.exceptions.SSLError as error:
                raise Unavailable(
                    f"The certificate of {self._host} is not trusted here ({_reason(error)}). "
                    "Name the file of your authority's certificates in REQUESTS_CA_BUNDLE."
                ) from None
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if last:
                    raise Unavailable(f"Countersign at {self._host} cannot be reached: {_reason(error)}.") from None
                self._sleep(backoff(count))
                continue
            except requests.RequestException as error:
                raise Misconfigured(f"The call to {self._host} cannot be made: {error}") from None
            status = answer.status_code
            if status < 300:
                return answer
            if status == 401 and not has_renewed and self._credentials.renew():
                has_renewed, count = True, count - 1
                continue
            if not last and (status in TRANSIENT or status == UNKNOWN or _comes(answer)):
                self._sleep(pause(answer, count))
                continue
            raise self._error(answer)

    def close(self) -> None:
        self._session.close()

    def json(self, method: str, path: str, **given: Any) -> Any:
        """As `call`; the JSON of the answer."""
        return self.parsed(self.call(method, path, **given))

    def parsed(self, answer: requests.Response) -> Any:
        """Raises Misconfigured for what is no JSON."""
        try:
            return answer.json()
        except ValueError:
            raise self._another(answer) from None

    def _error(self, answer: requests.Response) -> Exception:
        status = answer.status_code
        problem = _problem(answer)
        if status >= 500:
            detail = f" It says: {problem['detail']}" if problem.get("detail") else ""
            return Unavailable(f"Countersign at {self._host} failed ({status}).{detail}")
        if status < 400:
            where = answer.headers.get("Location", "")
            return Misconfigured(f"{self.url} sends this call elsewhere ({status}, {where}). Is COUNTERSIGN_URL right?")
        if not problem and status != 429:
            return self._another(answer)
        if status == 429 and not problem.get("detail"):
            problem = {**problem, "code": "rate_limited", "detail": "Countersign is asked too often by this token."}
        return Refused(status, problem)

    def _another(self, answer: requests.Response) -> Misconfigured:
        kind = answer.headers.get("Content-Type", "nothing").partition(";")[0]
        return Misconfigured(
            f"What answers at {self.url} is not Countersign's API ({answer.status_code}, {kind}). "
            "Is COUNTERSIGN_URL right, or does a proxy ask for a sign-in?"
        )


def pause(answer: requests.Response, count: int) -> float:
    """How many seconds the answer asks to wait, at most a minute; without a word, twice as long as before."""
    asked = answer.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(float(asked), LONGEST_PAUSE)
    if asked:
        try:
            return min(max(parsedate_to_datetime(asked).timestamp() - time.time(), 0), LONGEST_PAUSE)
        except (TypeError, ValueError):
            pass
    return backoff(count)


def backoff(count: int) -> float:
    """0.5 s, 1 s, 2 s …, each somewhat less, so that a thousand jobs do not come back at one moment."""
    return float(min(0.5 * 2 ** (count - 1), 10.0) * random.uniform(0.7, 1.0))  # noqa: S311 -- no secret


def _comes(answer: requests.Response) -> bool:
    """The same call, whose answer did not come, is not at its end; or what it is about is not in Countersign yet."""
    return answer.status_code in {409, 422} and _problem(answer).get("code") in {"still_running", "unknown_version"}


def _problem(answer: requests.Response) -> dict[str, Any]:
    """The problem of RFC 9457; {} where the answer is none."""
    if "json" not in answer.headers.get("Content-Type", ""):
        return {}
    try:
        found = answer.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _reason(error: BaseException) -> str:
    """The innermost words of what urllib3 wraps, such as `Connection refused`; never the address and its parameters."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    inner: Any = error
    while True:
        following = getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        if not isinstance(following, BaseException):
            break
        inner = following
    text = str(inner).rpartition(": ")[2]
    return NOISE.sub("", text).strip(" .") or type(error).__name__
