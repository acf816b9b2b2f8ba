"""The external check: a CI job or service that is called over HTTPS and answers pass or fail, at once or later.

`KIND` is what a policy names, and only says that it waits. `call` makes one signed call, which ends in time whatever
the other side does.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from approvals.checks import posting, signing
from approvals.checks.kinds import Field, Kind, Settings

MOST_BYTES = 64 * 1024
"""Of an answer, at once or to the callback."""

LONGEST_REASON = 1000


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
    given = said.get("reason", "")
    if not isinstance(given, str):
        return Answer(None, problem='The "reason" of the answer is not text.')
    return Answer(said["result"] == "pass", reason=reason(given))


def reason(text: str) -> str:
    """What a check gave as its reason, as it can be stored."""
    return posting.storable(text)[:LONGEST_REASON] or "It gave no reason."


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
        reply = posting.post(urlsplit(settings["url"]), body, headers, seconds=seconds, most_bytes=MOST_BYTES)
    except TimeoutError:
        return Answer(None, problem=f"It did not answer within {seconds} {'second' if seconds == 1 else 'seconds'}.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, problem=f"It could not be called: {posting.words(error)}.")
    return _read(reply, secret, clock())


def _read(found: posting.Reply, secret: str, now: datetime) -> Answer:
    if found.status == 202:
        return Answer(None)
    if 300 <= found.status < 400:
        return Answer(None, problem=f"It answered with a redirect ({found.status}), which is not followed.")
    if found.status != 200:
        return Answer(None, problem=f"It answered with status {found.status}.")
    if len(found.body) > MOST_BYTES:
        return Answer(None, problem="It answered with more than 64 KB.")
    # The call went to the address that the policy names, over TLS; who signs the answer as well has to do it right.
    signed = "webhook-signature" in found.headers
    if signed and (problem := signing.verify(found.headers, found.body, secret, now=now)):
        return Answer(None, problem=f"It answered with a signature that does not hold. {problem}")
    return verdict(found.body)
