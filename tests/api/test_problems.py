"""Every way in which something goes wrong, as one shape."""

from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import User
from api import problems
from api.resources import me
from approvals.models import Target
from approvals.workflow import Conflict, Invalid, NeedsReauthentication, NoMeaning, NotAllowed
from tests.support.api import Machine
from tests.support.factories import make_request, make_version


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAllowed("You may not."), 403, "not_allowed"),
        (NotAllowed("You requested it.", code="self_approval"), 403, "self_approval"),
        (NeedsReauthentication("Prove who you are."), 403, "step_up_required"),
        (Conflict("Another person was faster."), 409, "conflict"),
        (Invalid("A comment is missing."), 422, "invalid"),
        (NoMeaning("Say what it means."), 422, "meaning_required"),
    ],
)
def test_a_verb_that_refuses_answers_as_the_page_with_its_sentence(error: Any, status: int, code: str) -> None:
    found = problems.of(error)
    assert (found.status, found.code, found.detail) == (status, code, error.message)


def test_a_conflict_says_which_request_to_look_at(rita: User, production: Target, settings: Any) -> None:
    settings.SITE_URL = "https://countersign.example.com"
    request = make_request(make_version(), production, by=rita)
    found = problems.of(Conflict("There is one.", request)).more
    assert found == {"request": request.pk, "url": f"https://countersign.example.com/requests/{request.pk}/"}


def test_what_nobody_foresaw_is_a_problem_with_the_number_in_the_log(
    rita: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("hush")

    monkeypatch.setattr(me, "person", fail)
    found = Machine(rita).get("/me")
    assert (found.status, found["code"]) == (500, "failed")
    assert found.header("Content-Type") == problems.MEDIA_TYPE
    number = found["correlation_id"]
    assert found.header(problems.CORRELATION) == number
    assert "hush" not in found.response.content.decode()
    logged = str([each.msg for each in caplog.records])
    assert number in logged
    assert "hush" in logged


def test_a_database_that_is_away_asks_to_try_again(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(me, "person", fail)
    found = Machine(rita).get("/me")
    assert (found.status, found["code"], found.header("Retry-After")) == (503, "unavailable", "10")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("cursor=x", "/query/cursor"),
    ],
)
def test_what_makes_no_sense_is_pointed_at(rita: User, query: str, pointer: str) -> None:
    found = Machine(rita).get(f"/models?{query}")
    assert found.status == 422
    assert [each["pointer"] for each in found["errors"]] == [pointer]
    assert all(each["detail"].endswith(".") for each in found["errors"])
