"""What a person typed when their session had ended: kept until they have signed in again, and then shown on the page
where they typed it. Nothing of it is done, logged or put into an address.

It lies in the session of the browser, and is for one person alone: the browser keeps, signed, who was signed in last.
The token of the form has been checked before, so no other site can put anything here.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

from components import page_addresses

KEY, COOKIE, SALT = "unsent", "countersign_person", "registry_ui.unsent"
COOKIE_SECONDS = 30 * 24 * 3600
MOST_CHARACTERS = 200_000
SECRET = re.compile(r"csrf|password|secret|token|code|credential|otp", re.IGNORECASE)
"""Names of fields that are never kept."""


def keep(request: HttpRequest) -> str:
    """Keeps what was posted, if it is known who typed it, and says what happened; returns the page to come back to."""
    page = _page_of(request)
    person = _last_person(request)
    fields = {name: values for name, values in request.POST.lists() if not SECRET.search(name)}
    is_short = sum(len(text) for values in fields.values() for text in values) <= MOST_CHARACTERS
    if person and fields and is_short:
        place = urlsplit(page).path
        request.session[KEY] = {"person": person, "page": place, "action": request.path, "fields": fields}
        messages.info(request, "You were signed out; nothing was recorded. Your input is kept: sign in to continue.")
    else:
        messages.info(request, "You were signed out; nothing was recorded.")
    return page


def of(request: HttpRequest) -> dict[str, Any] | None:
    """`action`, `fields` (lists of texts by name) and `texts` (those to read), for the page at hand; None: nothing."""
    kept: dict[str, Any] | None = request.session.get(KEY)
    if kept is None or not request.user.is_authenticated:
        return None
    if kept["person"] != request.user.pk:
        del request.session[KEY]
        return None
    if kept["page"] != request.path:
        return None
    texts = [text for values in kept["fields"].values() for text in values if " " in text.strip()]
    return {"action": kept["action"], "fields": kept["fields"], "texts": texts}


def forget(request: HttpRequest) -> None:
    """When they send it, or something else, from there."""
    kept = request.session.get(KEY)
    if kept is not None and request.path in (kept["action"], kept["page"]):
        del request.session[KEY]


def remember_person(request: HttpRequest, response: HttpResponse) -> None:
    """Notes in the browser who is signed in, where this request has asked for it anyway."""
    user = getattr(request, "_cached_user", None)
    if user is not None and user.is_authenticated and _last_person(request) != user.pk:
        response.set_signed_cookie(
            _cookie(),
            str(user.pk),
            salt=SALT,
            max_age=COOKIE_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def _cookie() -> str:
    return f"{settings.COOKIE_PREFIX}{COOKIE}"


def _last_person(request: HttpRequest) -> int | None:
    try:
        found = request.get_signed_cookie(_cookie(), default="", salt=SALT, max_age=COOKIE_SECONDS)
    except BadSignature:
        return None
    return int(found) if found else None


def _page_of(request: HttpRequest) -> str:
    """Where the form stood: the page that the browser names, if it is ours, or else the nearest to its address."""
    named = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(named, {request.get_host()}, require_https=request.is_secure()):
        parts = urlsplit(named)
        if page_addresses.is_page(parts.path) and not parts.path.startswith("/accounts/"):
            return parts._replace(scheme="", netloc="", fragment="").geturl()
    return page_addresses.nearest(request.path)


def to_nearest_page(request: HttpRequest) -> HttpResponse:
    messages.info(request, "That address only takes what a form sends, so nothing was done.")
    return HttpResponseRedirect(page_addresses.nearest(request.path))
