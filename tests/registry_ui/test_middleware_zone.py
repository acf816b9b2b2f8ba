"""Pages on the clock of whoever reads them, and pages of the record on UTC."""

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from mirror.models import MirrorState

pytestmark = pytest.mark.django_db
SILENT_SINCE = datetime(2026, 1, 5, 12, 4, tzinfo=UTC)
STATUS = "MLflow has not answered since"


@pytest.fixture
def reader(client: Client, vera: User) -> Client:
    MirrorState.objects.update_or_create(pk=1, defaults={"failing_since": SILENT_SINCE})
    client.force_login(vera)
    return client


def shown(reader: Client, path: str = "/models/") -> str:
    html = reader.get(path).content.decode()
    assert STATUS in html
    return html.split(STATUS)[1][:30]


def test_the_browsers_zone_is_the_readers_unless_the_reader_chose_one(reader: Client, vera: User) -> None:
    assert "5 Jan 12:04" in shown(reader)
    reader.cookies["zone"] = "Asia/Tokyo"
    assert "5 Jan 21:04" in shown(reader)
    reader.post("/preferences/", {"theme": "system", "time_zone": " Europe/Berlin "})
    vera.refresh_from_db()
    assert vera.time_zone == "Europe/Berlin"
    assert "5 Jan 13:04" in shown(reader)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "\x00", "a" * 5000])
def test_a_cookie_that_is_no_zone_means_utc(reader: Client, zone: str) -> None:
    reader.cookies["zone"] = zone
    assert "5 Jan 12:04" in shown(reader)


def test_a_zone_that_does_not_exist_is_refused_with_a_sentence(reader: Client, vera: User) -> None:
    answer = reader.post("/preferences/", {"theme": "system", "time_zone": "Berlin"})
    assert answer.status_code == 422
    assert "There is no time zone of this name." in answer.content.decode()
    vera.refresh_from_db()
    assert vera.time_zone == ""


@pytest.mark.parametrize("path", ["/history/", "/history/at/", "/history/ledger/", "/history/audit/"])
def test_pages_of_the_record_are_on_utc_for_everybody(reader: Client, path: str) -> None:
    reader.cookies["zone"] = "Asia/Tokyo"
    assert "5 Jan 12:04" in shown(reader, path)


def test_the_zone_of_one_reader_is_gone_with_the_answer(reader: Client) -> None:
    reader.cookies["zone"] = "Asia/Tokyo"
    shown(reader)
    assert timezone.get_current_timezone_name() == "UTC"
