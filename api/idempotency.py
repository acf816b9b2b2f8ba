"""`Idempotency-Key` on a POST: sent a second time, nothing is done a second time. The answer is kept for 24 hours; what
was refused did nothing and is tried anew."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from api.models import SentOnce
from api.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=2)
"""A process that did not end its answer in so long is gone: whoever asks again takes its place."""

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
Again = Callable[[HttpRequest, dict[str, Any]], Any]


def again(tell: Again) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Above an operation: what it answers the second time, made by `tell(request, first body)`, so that it says what is
    so now. Without it the first body is sent again."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        view.tell_again = tell  # type: ignore[attr-defined]
        return view

    return decorate


def once(view: Callable[..., Any]) -> Callable[..., Any]:
    """Around every operation, within the check of its token: begins what `finish` ends. Raises Problem: 422 for a key
    that was sent with something else, 409 while the first one runs."""

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get(HEADER)
        is_of_someone = getattr(request, "auth", None) is not None  # else there is nobody for whom to keep the answer
        if request.method != "POST" or key is None or not is_of_someone:
            return view(request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise Problem(422, "bad_idempotency_key", f"{HEADER} is 1 to 200 characters of ASCII, without spaces.")
        row, is_first = _claim(request, key)
        if is_first:
            request.sent_once = row  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)
        return _told_again(view, request, row)

    return run


def finish(request: HttpRequest, response: HttpResponse) -> None:
    """Keeps the answer of what was done, and forgets what was not."""
    row: SentOnce | None = getattr(request, "sent_once", None)
    if row is None:
        return
    mine = SentOnce.objects.filter(pk=row.pk, begun_at=row.begun_at)
    if 200 <= response.status_code < 300:
        # What holds a secret says itself what may be kept of it.
        kept = getattr(request, "kept_answer", "") or response.content.decode()
        mine.update(status=response.status_code, body=kept)
    else:
        mine.delete()


def _claim(request: HttpRequest, key: str) -> tuple[SentOnce, bool]:
    """The row of this key, and whether this request is the one that answers it."""
    now = timezone.now()
    SentOnce.objects.filter(begun_at__lt=now - KEPT).delete()
    person = request.auth.user  # type: ignore[attr-defined]
    said = f"{request.method}\n{request.get_full_path()}\n".encode() + request.body
    digest = hashlib.sha256(said).hexdigest()
    try:
        with transaction.atomic():
            return SentOnce.objects.create(person=person, key=key, digest=digest, begun_at=now), True
    except IntegrityError:
        row = SentOnce.objects.filter(person=person, key=key).first()
    if row is None:  # the first one was refused in this moment
        raise _still_running()
    if row.digest != digest:
        detail = f"This {HEADER} was sent before with another request. Use a new one for what is new."
        raise Problem(422, "idempotency_key_reused", detail)
    if row.status is None:
        gone = SentOnce.objects.filter(pk=row.pk, status=None, begun_at__lt=now - ABANDONED)
        if not gone.update(begun_at=now):
            raise _still_running()
        row.begun_at = now
        return row, True
    return row, False


def _still_running() -> Problem:
    detail = f"The first request with this {HEADER} is still running. Try again in a moment."
    return Problem(409, "still_running", detail, headers={"Retry-After": "1"})


def _told_again(view: Callable[..., Any], request: HttpRequest, row: SentOnce) -> Any:
    request.is_replayed = True  # type: ignore[attr-defined]
    tell: Again | None = getattr(view, "tell_again", None)
    if tell is not None:
        return tell(request, json.loads(row.body))
    return HttpResponse(row.body, status=row.status or 200, content_type="application/json; charset=utf-8")
