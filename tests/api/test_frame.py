"""What stands around every operation: methods, sizes, slashes, tags, and that no page answers below `/api/`."""

from urllib.parse import quote

import pytest
from django.test import Client

from accounts.models import User
from tests.support.api import Machine
from tests.support.factories import make_version

PROBLEM = "application/problem+json"


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita, "read")


@pytest.mark.parametrize("path", ["/nothing", "/", "", "/models/x/targets/y/z/w", "/requests/7/nothing/"])
def test_what_is_not_there_is_a_problem(machine: Machine, path: str) -> None:
    found = machine.get(path)
    assert (found.status, found.header("Content-Type")) == (404, PROBLEM), found.body
    assert found["status"] == 404
    assert set(found.body) >= {"type", "title", "status", "detail", "code"}


def test_below_the_other_addresses_of_the_api_no_page_answers_either(client: Client, db: None) -> None:
    found = client.get("/api/v2/models", headers={"accept": "text/html"})
    assert (found.status_code, found["Content-Type"]) == (404, PROBLEM)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/models", "/models/", "/openapi.json"])
def test_a_method_that_there_is_not_names_those_that_there_are(machine: Machine, method: str, path: str) -> None:
    found = machine.send(method, path, raw=b"{}")
    assert (found.status, found["code"]) == (405, "method_not_allowed")
    assert found.header("Content-Type") == PROBLEM
    assert found.header("Allow") == "GET"


def test_a_slash_at_the_end_changes_nothing(machine: Machine) -> None:
    make_version("churn_predictor", 1)
    for path in ("/models", "/models/churn_predictor", "/models/churn_predictor/versions/1", "/me"):
        plain, slashed = machine.get(path), machine.get(f"{path}/")
        assert (plain.status, slashed.status) == (200, 200), path
        assert plain.body == slashed.body


def test_a_head_has_the_headers_of_a_get(machine: Machine) -> None:
    whole, head = machine.get("/models"), machine.send("HEAD", "/models")
    assert (head.status, head.response.content) == (200, b"")
    assert head.header("ETag") == whole.header("ETag") != ""
    assert head.header("Content-Length") == str(len(whole.response.content))


def test_a_body_that_is_too_large_is_refused_unread(machine: Machine) -> None:
    found = machine.send("POST", "/models", raw=b"x" * (1024 * 1024 + 1))
    assert (found.status, found["code"]) == (413, "too_large")


@pytest.mark.parametrize("has_token", [True, False])
def test_more_parameters_than_django_reads_are_no_failure_of_ours(machine: Machine, db: None, has_token: bool) -> None:
    found = (machine if has_token else Machine()).get("/models?" + "a=1&" * 1001)
    assert (found.status, found["code"]) == (400, "malformed")


def test_a_length_that_python_does_not_read_is_too_large(machine: Machine) -> None:
    found = machine.send("GET", "/models", headers={"content-length": "9" * 5000})
    assert (found.status, found["code"]) == (413, "too_large")


@pytest.mark.each_database
@pytest.mark.parametrize("path", ["/models/a%00b", "/models?q=a%00b", "/models/a%00b/versions/1"])
def test_a_nul_in_an_address_finds_nothing(machine: Machine, path: str) -> None:
    found = machine.get(path)
    assert found.status in (404, 422), found.body


@pytest.mark.each_database
@pytest.mark.parametrize("name", ["com.example/weather", "größe 模型", "50% off?#x", "a+b & c", "line\nbreak", "a//b"])
def test_a_name_in_an_address_is_the_name(machine: Machine, name: str) -> None:
    make_version(name, 3)
    escaped = quote(name, safe="")
    assert machine.get(f"/models/{escaped}")["model"] == name
    found = machine.get(f"/models/{escaped}/versions/3")
    assert (found["model"], found["version"]) == (name, "3")
    assert [each["version"] for each in machine.get(f"/models/{escaped}/versions")["items"]] == ["3"]
    assert machine.get(f"/models/{escaped}/targets/Production/holder")["code"] == "no_holder"


def test_an_answer_that_the_client_has_is_not_sent_again(machine: Machine) -> None:
    make_version("churn_predictor", 1)
    first = machine.get("/models")
    tag = first.header("ETag")
    again = machine.get("/models", if_none_match=f'"x", {tag}')
    assert (again.status, again.response.content, again.header("ETag")) == (304, b"", tag)
    make_version("demand", 1)
    assert machine.get("/models", if_none_match=tag).status == 200


def test_a_session_is_not_looked_at(client: Client, rita: User) -> None:
    client.force_login(rita)
    found = client.get("/api/v1/models")
    assert (found.status_code, found["Content-Type"]) == (401, PROBLEM)
    assert found["WWW-Authenticate"].startswith("Bearer")
    assert not found.cookies


def test_what_is_sent_needs_no_token_of_a_form(rita: User) -> None:
    machine = Machine(rita)
    machine.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert machine.post("/models", {}).status == 405
