"""The whole room. Every table that the product hands out has one name for each column."""

import csv
import io
import zipfile
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from approvals.audit import population
from approvals.models import Target
from tests.support.factories import make_request, make_version
from tests.support.world import settle

pytestmark = pytest.mark.django_db


def exports(ending: str) -> list[str]:
    def walk(patterns: Any, before: str) -> list[str]:
        found = []
        for each in patterns:
            route = before + str(each.pattern)
            if isinstance(each, URLResolver):
                found += walk(each.url_patterns, route)
            elif isinstance(each, URLPattern) and route.endswith(ending):
                found.append(f"/{route}")
        return found

    return walk(get_resolver().url_patterns, "")


@pytest.fixture
def auditor(client: Client, vera: User, rita: User, remy: User, production: Target) -> Client:
    settle(make_request(make_version("churn"), production, by=rita), remy)
    client.force_login(vera)
    return client


def body(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)


def header(content: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


def test_there_are_exports() -> None:
    assert len(exports(".csv")) >= 4


@pytest.mark.parametrize("path", exports(".csv"))
def test_the_columns_of_a_csv_have_names_of_their_own(auditor: Client, path: str) -> None:
    names = header(body(auditor.get(path)))
    assert len(names) > 2
    assert len(set(names)) == len(names)


def test_so_have_those_in_the_archive(auditor: Client) -> None:
    (path,) = exports(".zip")
    with zipfile.ZipFile(
        io.BytesIO(body(auditor.get(path, {"since": "2000-01-01", "until": "2100-01-01"})))
    ) as archive:
        tables = [name for name in archive.namelist() if name.endswith(".csv")]
        assert set(tables) >= {"population.csv", "sample.csv"}
        for name in tables:
            names = header(archive.read(name))
            assert len(set(names)) == len(names), name
        drawn = list(csv.DictReader(io.StringIO(archive.read("sample.csv").decode())))
    assert [row["rank"] for row in drawn] == [str(rank) for rank in range(1, len(drawn) + 1)]
    assert {row["place"] for row in drawn} == {"Production; @champion"}


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two columns have one name"):
        list(population.csv_lines(("place", "place"), []))
