"""What is sent twice is done once."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from ninja import NinjaAPI, Schema, Status

from accounts.models import User
from api import acting, frame, idempotency, problems
from api.auth import ApiRequest, Token
from api.encoding import JsonParser, JsonRenderer
from api.models import SentOnce
from approvals.workflow import NotAllowed
from tests.support.api import Machine

done: list[str] = []
api = NinjaAPI(
    openapi_url=None, docs_url=None, urls_namespace="api:tried", parser=JsonParser(), renderer=JsonRenderer()
)
api.add_decorator(idempotency.once, mode="operation")
api.add_decorator(acting.through_token, mode="operation")
problems.install(api)


class Thing(Schema):
    name: str


def tell(request: Any, first: dict[str, Any]) -> Any:
    return Status(200, {"name": f"{first['name']} as it is now"})


@api.post("/plain", auth=Token("requests:write"), response={201: Thing})
def plain(request: ApiRequest, body: Thing) -> Any:
    done.append(body.name)
    if body.name == "refused":
        raise NotAllowed("Not this.", code="frozen")
    if body.name == "failed":
        raise RuntimeError
    if body.name == "meanwhile":
        found = Machine(text=request.headers["Authorization"].split()[1]).post(
            "/plain", {"name": "meanwhile"}, idempotency_key="k"
        )
        done.append(f"{found.status} {found['code']} {found.header('Retry-After')}")
    return Status(201, body)


@api.post("/told", auth=Token("requests:write"), response={201: Thing, 200: Thing})
@idempotency.again(tell)
def told(request: ApiRequest, body: Thing) -> Any:
    done.append(body.name)
    return Status(201, body)


@api.post("/open", auth=None, response={201: Thing})
def open_to_all(request: Any, body: Thing) -> Any:
    done.append(body.name)
    return Status(201, body)


urlpatterns = [path("api/v1/", include((frame.patterns(api.urls[0]), "tried")))]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita)


def test_without_a_key_it_is_done_each_time(machine: Machine) -> None:
    assert [machine.post("/plain", {"name": "a"}).status for _ in range(2)] == [201, 201]
    assert done == ["a", "a"]
    assert not SentOnce.objects.exists()


def test_with_a_key_the_first_answer_comes_again(machine: Machine) -> None:
    first, second = (machine.post("/plain", {"name": "a"}, idempotency_key="k") for _ in range(2))
    assert done == ["a"]
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert (first.header("Idempotent-Replayed"), second.header("Idempotent-Replayed")) == ("", "true")


def test_what_is_so_now_is_told_where_the_operation_says_how(machine: Machine) -> None:
    first, second = (machine.post("/told", {"name": "a"}, idempotency_key="k") for _ in range(2))
    assert (first.status, first["name"], second.status, second["name"]) == (201, "a", 200, "a as it is now")
    assert done == ["a"]


def test_another_token_of_the_person_finds_it_and_another_person_does_not(rita: User, remy: User) -> None:
    for person in (rita, rita, remy):
        assert Machine(person).post("/plain", {"name": "a"}, idempotency_key="k").status == 201
    assert done == ["a", "a"]


@pytest.mark.each_database
@pytest.mark.parametrize(("path", "name"), [("/plain", "b"), ("/told", "a"), ("/plain?x=1", "a")])
def test_the_same_key_with_something_else_is_refused(machine: Machine, path: str, name: str) -> None:
    machine.post("/plain", {"name": "a"}, idempotency_key="k")
    found = machine.post(path, {"name": name}, idempotency_key="k")
    assert (found.status, found["code"]) == (422, "idempotency_key_reused")
    assert done == ["a"]


@pytest.mark.parametrize(("name", "status"), [("refused", 403), ("failed", 500)])
def test_what_was_not_done_is_tried_anew(machine: Machine, name: str, status: int) -> None:
    assert [machine.post("/plain", {"name": name}, idempotency_key="k").status for _ in range(2)] == [status] * 2
    assert done == [name, name]
    assert not SentOnce.objects.exists()


def test_while_the_first_one_runs_the_second_is_told_so(machine: Machine) -> None:
    machine.post("/plain", {"name": "meanwhile"}, idempotency_key="k")
    assert done == ["meanwhile", "409 still_running 1"]


def test_what_a_killed_process_left_is_taken_over(machine: Machine) -> None:
    machine.post("/plain", {"name": "a"}, idempotency_key="k")
    SentOnce.objects.update(status=None, body="")
    assert machine.post("/plain", {"name": "a"}, idempotency_key="k")["code"] == "still_running"
    SentOnce.objects.update(begun_at=timezone.now() - idempotency.ABANDONED - timedelta(seconds=1))
    assert machine.post("/plain", {"name": "a"}, idempotency_key="k").status == 201
    assert done == ["a", "a"]


def test_after_a_day_the_key_is_new(machine: Machine) -> None:
    machine.post("/plain", {"name": "a"}, idempotency_key="k")
    machine.post("/plain", {"name": "a"}, idempotency_key="old")
    SentOnce.objects.update(begun_at=timezone.now() - idempotency.KEPT - timedelta(seconds=1))
    assert machine.post("/plain", {"name": "b"}, idempotency_key="k").status == 201
    assert list(SentOnce.objects.values_list("key", flat=True)) == ["k"]


@pytest.mark.each_database
@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ü"])
def test_a_key_that_is_none_is_refused(machine: Machine, key: str) -> None:
    found = machine.post("/plain", {"name": "a"}, idempotency_key=key)
    assert (found.status, found["code"]) == (422, "bad_idempotency_key")


def test_a_token_that_may_not_do_it_gets_no_answer_of_before(rita: User) -> None:
    Machine(rita).post("/plain", {"name": "a"}, idempotency_key="k")
    assert Machine(rita, "read").post("/plain", {"name": "a"}, idempotency_key="k").status == 403


@pytest.mark.each_database
@pytest.mark.parametrize("raw", [b"{", b"", b'{"name": "\\u0000"}', b"[]", b'{"name": 1}'])
def test_a_body_that_makes_no_sense_is_a_problem(machine: Machine, raw: bytes) -> None:
    found = machine.send("POST", "/plain", raw=raw, headers={"idempotency-key": "k"})
    assert found.status in (400, 422)
    assert found.header("Content-Type") == problems.MEDIA_TYPE
    assert not SentOnce.objects.exists()


def test_where_no_token_is_needed_nothing_is_kept(db: None) -> None:
    assert [Machine().post("/open", {"name": "a"}, idempotency_key="k").status for _ in range(2)] == [201, 201]
    assert done == ["a", "a"]
    assert not SentOnce.objects.exists()


def test_a_link_to_a_run_that_is_none_is_refused(machine: Machine) -> None:
    found = machine.post("/plain", {"name": "a"}, x_countersign_run="javascript:alert(1)")
    assert (found.status, found["code"]) == (400, "bad_run_link")
    assert done == []


@override_settings(API_REQUESTS_PER_MINUTE=1)
def test_a_second_try_counts_as_a_request(machine: Machine) -> None:
    assert [machine.post("/plain", {"name": "a"}, idempotency_key="k").status for _ in range(2)] == [201, 429]
