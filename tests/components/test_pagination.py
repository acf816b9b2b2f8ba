"""Pages of the second half are read from the end, and are the same pages."""

import pytest
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from components.pagination import FromTheNearerEnd, page_of
from mirror.models import RegisteredModel
from tests.support.factories import NOON, make_model


@pytest.mark.each_database
@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 3, 4, 10, 11, 12])
def test_each_page_is_the_same_from_either_end(count: int) -> None:
    for number in range(count):
        make_model(f"model_{number:02}", last_updated_at=NOON.replace(hour=number % 4))
    rows = RegisteredModel.objects.order_by(F("last_updated_at").desc(), F("name").desc())
    plain, near = Paginator(rows, 3), FromTheNearerEnd(rows, 3)
    for number in plain.page_range:
        assert list(near.page(number)) == list(plain.page(number))
    assert list(page_of(rows, 3, "last")) == list(plain.page(plain.num_pages))


@pytest.mark.django_db
def test_the_last_page_skips_nothing() -> None:
    for number in range(20):
        make_model(f"model_{number:02}")
    with CaptureQueriesContext(connection) as queries:
        assert len(page_of(RegisteredModel.objects.order_by("name"), 3, "last")) == 2
    assert "OFFSET" not in queries[-1]["sql"]
