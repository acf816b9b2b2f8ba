"""One line for each request, and no path in any."""

from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client

from accounts.models import User


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level("INFO")
    return lambda: [each.msg for each in caplog.records if each.name == "request"]


@pytest.mark.django_db
def test_a_page_is_told_by_its_route_with_the_person(client: Client, rita: User, told: Any) -> None:
    client.force_login(rita)
    client.get("/models/?q=churn")
    (line,) = told()
    assert (line["route"], line["method"], line["status"], line["person"]) == ("models", "GET", 200, rita.pk)
    assert isinstance(line["ms"], int)
    assert "churn" not in str(line)


def test_style_sheets_and_health_checks_that_are_well_are_not_told(client: Client, told: Any) -> None:
    client.get("/healthz")
    client.get("/static/app.css")
    assert [line["status"] for line in told()] == [404]  # tests collect no static files


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/accounts/password/reset/key/1-secret-key/", "/no/such/page/secret-key/"])
def test_a_failure_is_told_without_the_path(path: str, rita: User, told: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(rita)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("nothing works")

    with pytest.MonkeyPatch.context() as patch:
        if "reset" in path:
            patch.setattr("allauth.account.views.PasswordResetFromKeyView.dispatch", fail)
        status = client.get(path).status_code
    assert status == (500 if "reset" in path else 404)
    assert [line["status"] for line in told()] == [status]
    lines = [f"{each.getMessage()} {each.exc_text or ''}" for each in caplog.records]
    assert not any("secret-key" in line for line in lines)
    assert any("account_reset_password_from_key" in line for line in lines) == (status == 500)


def test_all_lines_of_an_answer_have_one_number(caplog: pytest.LogCaptureFixture, rf: Any) -> None:
    import structlog
    from django.http import HttpResponse

    from registry_ui.request_log import RequestLog

    caplog.set_level("INFO")

    def page(request: HttpRequest) -> HttpResponse:
        structlog.get_logger("somewhere").info("something")
        return HttpResponse(status=404)

    for _ in range(2):
        RequestLog(page)(rf.get("/"))
    numbers = [each.msg["correlation_id"] for each in caplog.records]  # type: ignore[index]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
