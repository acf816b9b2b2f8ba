"""The external check: a CI job or service that is called over HTTPS and answers pass or fail, at once or later.

`KIND` is what a policy names, and only says that it waits. `call` makes one signed call, which ends in time whatever
the other side does.
"""

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from approvals.checks import signing
from approvals.checks.kinds import Field, Kind, Settings

MOST_BYTES = 64 * 1024
"""Of an answer, at once or to the callback."""

LONGEST_REASON = 1000
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: `passed` is None without a verdict; then `problem` says what went wrong, and is "" when
    the call was taken and the answer follows."""

    passed: bool | None
    reason: str = ""
    problem: str = ""


def _named(settings: Settings) -> str:
    return str(settings["name"])


def _impostor(settings: Settings) -> list[str]:
    """The ledger names the check as the one that answered, and Countersign where it gave up."""
    is_ours = settings["name"].casefold().startswith("countersign")
    return ["A check cannot be called Countersign; that is who gives up when it does not answer."] if is_ours else []


KIND = Kind(
    key="external",
    label="External check",
    description="A CI job or service is called over HTTPS and answers pass or fail, at once or later.",
    fields=(
        Field(
            "name",
            "Name",
            "text",
            required=True,
            help="Both sides sign with the secret that goes with this name: manage.py check_secret NAME prints it.",
        ),
        Field("url", "Address (HTTPS)", "url", required=True),
        Field("timeout_seconds", "Seconds that one call may take", "integer", default=10, least=1, most=60),
        Field("attempts", "Calls before it has failed", "integer", default=5, least=1, most=20),
        Field("deadline_minutes", "Minutes until it has failed", "integer", default=30, least=1, most=10_080),
    ),
    judge=lambda _, __, ___: ("waiting", "It has not been called yet."),
    named=_named,
    also=_impostor,
)


def verdict(body: bytes) -> Answer:
    """Reads `{"result": "pass" or "fail", "reason": "…"}`; a problem when it is anything else."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return Answer(None, problem="The answer is not JSON.")
    if not isinstance(said, dict) or said.get("result") not in ("pass", "fail"):
        return Answer(None, problem='The answer has no "result" that is "pass" or "fail".')
    reason = said.get("reason", "")
    if not isinstance(reason, str):
        return Answer(None, problem='The "reason" of the answer is not text.')
    reason = _UNSTORABLE.sub(" ", reason).strip()
    return Answer(said["result"] == "pass", reason=reason[:LONGEST_REASON] or "It gave no reason.")


def call(
    settings: Mapping[str, Any],
    *,
    facts: Mapping[str, Any],
    answer_url: str,
    message_id: str,
    secret: str,
    clock: Callable[[], datetime],
) -> Answer:
    """Makes one signed call and reads what is said to it: 200 with a verdict, or 202 when it follows at `answer_url`.
    Never raises for what the other side does, and takes about `timeout_seconds` at most."""
    now, seconds = clock(), int(settings["timeout_seconds"])
    told = {
        "type": "check.requested",
        "timestamp": now.isoformat(),
        "data": {"check": settings["name"], "answer_url": answer_url, **facts},
    }
    body = json.dumps(told, sort_keys=True, ensure_ascii=True).encode()
    headers = signing.sign(body, secret, message_id=message_id, now=now)
    try:
        found, said = _post(urlsplit(settings["url"]), body, headers, seconds)
    except TimeoutError:
        return Answer(None, problem=f"It did not answer within {seconds} {'second' if seconds == 1 else 'seconds'}.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, problem=f"It could not be called: {_words(error)}.")
    return _read(found, said, secret, clock())


def _read(found: http.client.HTTPResponse, said: bytes, secret: str, now: datetime) -> Answer:
    if found.status == 202:
        return Answer(None)
    if 300 <= found.status < 400:
        return Answer(None, problem=f"It answered with a redirect ({found.status}), which is not followed.")
    if found.status != 200:
        return Answer(None, problem=f"It answered with status {found.status}.")
    if len(said) > MOST_BYTES:
        return Answer(None, problem="It answered with more than 64 KB.")
    # The call went to the address that the policy names, over TLS; who signs the answer as well has to do it right.
    headers = {name.lower(): value for name, value in found.headers.items()}
    if "webhook-signature" in headers and (problem := signing.verify(headers, said, secret, now=now)):
        return Answer(None, problem=f"It answered with a signature that does not hold. {problem}")
    return verdict(said)


def _post(url: SplitResult, body: bytes, headers: Mapping[str, str], seconds: int) -> tuple[Any, bytes]:
    """The response and up to one byte more than is allowed of its body. Raises TimeoutError when the time is over.

    A socket's time-out starts anew with every byte that comes, so a second thread hangs up when the time is over.
    """
    ends = time.monotonic() + seconds
    connection = _connection(url, seconds)
    try:
        connection.connect()
        line = connection.sock  # the connection forgets it before the body has been read
        hang_up = threading.Timer(max(ends - time.monotonic(), 0), _hang_up, [line])
        hang_up.daemon = True
        hang_up.start()
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request(
                "POST", path, body, {"Content-Type": "application/json", "Connection": "close", **headers}
            )
            found = connection.getresponse()
            said = found.read(MOST_BYTES + 1)
        finally:
            hang_up.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= ends:
            raise TimeoutError from error
        raise
    finally:
        connection.close()
    if time.monotonic() >= ends:  # what was read until then may be half an answer
        raise TimeoutError
    return found, said


def _connection(url: SplitResult, seconds: int) -> http.client.HTTPConnection:
    """Straight, or through the proxy that the environment names (HTTPS_PROXY, NO_PROXY)."""
    host = str(url.hostname)
    if url.scheme == "http":  # loopback alone: see kinds.Field
        return http.client.HTTPConnection(host, url.port, timeout=seconds)
    context = ssl.create_default_context()
    proxy = "" if proxy_bypass(host) else getproxies().get("https", "")
    if not proxy:
        return http.client.HTTPSConnection(host, url.port, timeout=seconds, context=context)
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(str(through.hostname), through.port, timeout=seconds, context=context)
    connection.set_tunnel(host, url.port or 443)
    return connection


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # not TLS's own, which pulls the state away from the reader


def _words(error: Exception) -> str:
    """`Connection refused`, or the kind of error where it has no words."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return _UNSTORABLE.sub(" ", str(words)).rstrip(".")[:300]
