"""Headers that every answer carries, whatever it is."""

import re
from pathlib import Path
from typing import Any

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


def test_a_static_file_has_the_policy_too(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "app.css").write_text("p { color: red }")
    settings.STATIC_ROOT = tmp_path
    answer = Client().get("/static/app.css")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/accounts/login/", "/models/", "/api/v1/models", "/healthz"])
def test_no_other_site_reads_an_answer_and_none_is_sent_back_what_it_asked(
    client: Client, rita: User, path: str
) -> None:
    if path == "/models/":
        client.force_login(rita)
    sent = {"Origin": "https://elsewhere.example.com", "X-Probe": "what-was-sent"}
    assert "Access-Control-Allow-Origin" not in client.get(path, headers=sent).headers
    traced = client.trace(path, headers=sent)
    assert "what-was-sent" not in f"{traced.content.decode()}{traced.headers}"
