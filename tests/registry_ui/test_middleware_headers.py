"""Headers that every answer carries, whatever it is."""

import re

import pytest
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/models/nothing/", "/healthz", "/readyz", "/people/"])
def test_every_answer_is_kept_from_caches_frames_and_foreign_code(client: Client, rita: User, path: str) -> None:
    if path != "/accounts/login/":
        client.force_login(rita)
    headers = client.get(path).headers
    assert headers["Cache-Control"] == "no-store" or "no-store" in headers["Cache-Control"].split(", ")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


def test_the_content_policy_allows_our_own_files_and_nothing_inline(client: Client) -> None:
    policy = client.get("/accounts/login/").headers["Content-Security-Policy"]
    given = dict(part.split(" ", 1) for part in policy.split("; "))
    assert given == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert not re.search(r"unsafe-|\*", policy)
