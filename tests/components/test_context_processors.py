"""What every page knows of this installation."""

import pytest
from django.test import Client
from pytest_django import Settings


@pytest.mark.parametrize("host", ["registry.example.com", "localhost:8000", "registry"])
def test_a_passkey_is_offered_where_browsers_take_one(db: None, settings: Settings, host: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert b'id="passkey_login"' in Client().get("/accounts/login/", headers={"host": host}).content


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "10.1.2.3", "[::1]:8000"])
def test_no_passkey_is_offered_at_an_address_that_is_a_number(db: None, settings: Settings, host: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    page = Client().get("/accounts/login/", headers={"host": host})
    assert page.status_code == 200
    assert b"passkey" not in page.content
