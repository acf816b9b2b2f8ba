"""What people read of the objects of the API: lines of text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from countersign.errors import CountersignError, Refused
from countersign.shapes import Holder, PromotionRequest

STATUSES = {
    "checking": "in checks",
    "pending": "waiting for review",
    "changes_requested": "changes requested",
    "approved": "approved, not yet in MLflow",
    "applied": "applied",
    "failed": "delivery failed, a person has to try it again",
    "rejected": "rejected",
    "withdrawn": "withdrawn",
    "expired": "expired",
}
"""A status of a newer server is shown as it comes."""

SOON = 14 * 86_400


def what(request: PromotionRequest) -> str:
    return f"{request['model']} version {request['version']} to {request['target']}"


def standing(request: PromotionRequest) -> str:
    """`waiting for review, needs 2 approvals from any reviewer`; `rejected: The holdout is too small.`"""
    status = request["status"]
    told = STATUSES.get(status, status)
    missing = ", ".join(each["sentence"] for each in request.get("missing", ())) if status == "pending" else ""
    needs = f", needs {missing}" if missing else ""
    why = f": {request['status_reason']}" if request.get("status_reason") else ""
    return f"{told}{needs}{why}"


def request(found: PromotionRequest) -> Iterator[str]:
    yield f"Request {found['id']}: {what(found)}"
    yield f"  {standing(found)}"
    asked = found.get("requested_by", {}).get("name", "")
    yield f"  requested by {asked}, {moment(found['created_at'])}"
    yield f"  {found['url']}"


def holder(found: Holder) -> Iterator[str]:
    since, until, url = found.get("since"), found.get("until"), found.get("url")
    when = (f" since {moment(since)}" if since else "") + (f" until {moment(until)}" if until else "")
    verb = "held" if until else "holds"
    yield f"{found['model']} version {found['version']} {verb} {found['target']}{when}"
    yield f"  {found['how']}"
    if url:
        yield f"  {url}"


def incidents(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found["items"]:
        state = "" if each["is_open"] else ", resolved"
        yield f"Incident {each['id']}: {each['title']}{state}"
        yield f"  seen {moment(each['seen_at'])}"
        yield f"  {each['url']}"
    if not found["items"]:
        yield "No incidents."


def exported(found: Mapping[str, Any]) -> Iterator[str]:
    if found["events"]:
        yield f"{found['events']:,} events, from {found['first']} to {found['last']}, appended to {found['file']}."
    else:
        yield f"No new events for {found['file']}."


def me(found: Mapping[str, Any]) -> Iterator[str]:
    token = found["token"]
    yield f"{found['url']} takes this token."
    user, owner = found["user"], found["owner"]
    email = f" <{user['email']}>" if user["email"] and not owner else ""
    yield f"  acts as: {user['name']}{email}" + (f", a service account of {owner['name']}" if owner else "")
    yield f"  token: {token['name']} ({token['prefix']}…)"
    yield f"  scopes: {', '.join(token['scopes'])}"
    left = _parsed(token["expires_at"]).timestamp() - time.time()
    yield f"  expires: {moment(token['expires_at'])}" + (
        f", in {max(int(left // 86_400), 0)} days" if left < SOON else ""
    )


def doctor(found: Mapping[str, Any]) -> Iterator[str]:
    for name, title in (("countersign", "Countersign"), ("mlflow", "MLflow")):
        part = found[name]
        word = {True: "OK", False: "NOT OK", None: "not tried"}[part["is_well"]]
        yield f"{title}: {word}"
        yield from (f"  {line}" for line in part["detail"].splitlines())


def of_error(error: CountersignError) -> str:
    """The sentence, the page where a person can act, and what to do about what only this command knows of."""
    text = str(error)
    if isinstance(error, Refused):
        if error.code == "idempotency_key_reused":
            text = "This CI run requested the same with another message before. Keep -m as it was, or give --key."
        if error.url:
            text += f" {error.url}"
        if error.code == "already_open" and error.problem.get("request"):
            text += f" `countersign status {error.problem['request']} --wait` waits for it."
    return text


def moment(text: str) -> str:
    """`2026-05-01 12:00 UTC`."""
    return f"{_parsed(text).astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def _parsed(text: str) -> datetime:
    # Before 3.11 neither Z nor three digits of a second were understood.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
