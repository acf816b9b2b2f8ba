"""Figures and tables from strangers: side by side in a comparison, and what is sent of them."""

import pytest
from django.test import Client

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.views import exhibits
from mirror.models import Exhibit
from tests.support.comparison_pages import MODEL, make_asked, page_of, section
from tests.support.factories import (
    make_exhibit,
    make_version,
    png,
)

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def asked(rita: User, remy: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


def address_of(exhibit: Exhibit) -> str:
    return f"/exhibits/{exhibit.pk}/{exhibits.filename_of(exhibit)}"


def test_figures_stand_side_by_side_and_tables_are_read(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = page_of(client, remy, asked)
    for exhibit in Exhibit.objects.filter(kind="image"):
        assert f'<img src="{address_of(exhibit)}" alt="figures/roc.png of version {exhibit.version.number}"' in html
    text = section(html, "exhibits")
    assert "segment errors A 3" in text
    assert "B <script>alert(3)</script>" in text
    assert "<script>alert(3)" not in html


def test_a_figure_that_changed_since_it_was_frozen_is_not_shown(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    changed = make_exhibit(asked.version, "figures/roc.png", png(77))
    make_exhibit(asked.version, "figures/later.png", png(78))
    Exhibit.objects.filter(version=asked.version, path="errors.csv").delete()
    html = page_of(client, remy, asked)
    assert address_of(changed) not in html
    assert "It has changed since it was frozen with the request" in section(html, "exhibits")
    assert "It is no longer there." in section(html, "exhibits")
    assert "later.png" not in html


def test_an_image_is_sent_as_what_it_is_and_nothing_else(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "figures/../r o\"c'.png", png())
    client.force_login(vera)
    answer = client.get(address_of(exhibit))
    assert answer.content == png()
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Content-Disposition"] == f'inline; filename="r-o-c-{exhibit.sha256[:12]}.png"'
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["ETag"] == f'"{exhibit.sha256}"'
    again = client.get(address_of(exhibit), headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(address_of(exhibit)).status_code == 200
    assert client.post(address_of(exhibit)).status_code == 405


def test_a_table_is_a_download_without_a_type_that_opens(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "t.csv", b"<html><script>alert(1)</script></html>")
    client.force_login(vera)
    answer = client.get(address_of(exhibit))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("path", "content", "media_type"),
    [
        ("roc.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/png"),
        ("roc.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        ("roc.html", b"<html></html>", "text/html"),
        ("roc.gif", png(), "image/gif"),
    ],
)
def test_what_is_not_the_image_that_it_says_is_never_sent(
    client: Client, vera: User, path: str, content: bytes, media_type: str
) -> None:
    exhibit = make_exhibit(make_version(MODEL), path, content, media_type=media_type, kind="image")
    client.force_login(vera)
    assert client.get(address_of(exhibit)).status_code == 404


def test_the_address_of_other_bytes_is_another(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "roc.png", png(1))
    old = address_of(exhibit)
    new = address_of(make_exhibit(exhibit.version, "roc.png", png(2)))
    client.force_login(vera)
    assert old != new
    assert client.get(old).status_code == 404
    assert client.get(new).status_code == 200
    assert client.get(f"/exhibits/{exhibit.pk}/anything.html").status_code == 404
    assert client.get("/exhibits/999999/roc.png").status_code == 404
