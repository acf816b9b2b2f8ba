"""The whole room. Addresses and names at the edge of what is possible get an answer, never an error of ours."""

import pytest
from django.test import Client

from accounts.models import User
from tests.support.factories import make_request, make_version


@pytest.mark.each_database
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["line\nbreak", "tab\there", "a/b", "per%cent", "quest?ion", "hash#tag", " lead"])
def test_any_model_name_has_its_pages(client: Client, rita: User, staging: object, name: str) -> None:
    version = make_version(name)
    request = make_request(version, staging, by=rita)  # type: ignore[arg-type]
    client.force_login(rita)
    promote = f"{version.get_absolute_url()}promote/"
    about = [version.model.get_absolute_url(), version.get_absolute_url(), promote, request.get_absolute_url()]
    for path in ["/", "/overview/", "/models/", f"/search/?q={name[:2]}", "/history/", "/?tab=mine", *about]:
        assert client.get(path, follow=True).status_code == 200, path


@pytest.mark.each_database
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/history/99999999999999999999/", 404),
        ("/history/9223372036854775807/", 404),
        ("/requests/99999999999999999999/", 404),
        ("/requests/9223372036854775807/", 404),
        ("/requests/9223372036854775808/review/", 405),
        ("/history/?until=9999-12-31", 422),
        ("/history/?since=0001-01-01T00:00&until=9999-12-31T23:59:59", 422),
    ],
)
def test_absurd_numbers_and_dates_are_refused_readably(client: Client, vera: User, path: str, status: int) -> None:
    client.force_login(vera)
    assert client.get(path).status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["evil.example", "a_b", "::1"])
def test_a_wrong_host_is_a_bad_request(client: Client, host: str) -> None:
    client.raise_request_exception = False
    assert client.get("/accounts/login/", HTTP_HOST=host).status_code == 400


@pytest.mark.each_database
@pytest.mark.parametrize("address", ["/policies/0/", "/targets/0/", "/freezes/0/"])
def test_number_zero_is_nothing_rather_than_a_new_one(client: Client, ada: User, address: str) -> None:
    client.force_login(ada)
    assert client.get(address).status_code == 404
