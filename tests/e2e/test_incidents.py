"""The gate is walked round on the real stack: through the address that MLflow's own pages use. The worker sees it,
pages tell it, and it is resolved by a person or put back."""

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]


@pytest.fixture
def model(stack: Stack, request: pytest.FixtureRequest) -> str:
    """Version 1 was approved for Production; version 2 was not. The second test's policy puts back."""
    name = f"incident_{request.node.name.removeprefix('test_')}"[:60]
    for _ in range(2):
        stack.make_version(name)
    if "put_back" in name:
        stack.probe("vigilant_policy", name)
    asked = stack.probe("approved_request", name, 1)
    stack.wait_for("the delivery", lambda: stack.probe("state", asked)["status"] == "applied")
    return name


def go_round(stack: Stack, model: str) -> int:
    """Does what a click on MLflow's page does; returns the number of the incident that the worker makes of it."""
    answer = requests.post(
        f"{stack.mlflow_url}/ajax-api/2.0/mlflow/model-versions/transition-stage",
        json={"name": model, "version": "2", "stage": "Production", "archive_existing_versions": True},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return int(stack.wait_for("the incident", lambda: stack.probe("incident_of", model)))


def test_a_bypass_is_seen_told_everywhere_and_resolved_with_a_reason(stack: Stack, model: str, sign_in: SignIn) -> None:
    number = go_round(stack, model)
    vera, remy = sign_in("vera"), sign_in("remy")
    vera.goto(f"{stack.url}/models/{model}/")
    expect(vera.locator(".status-line").get_by_text("outside Countersign")).to_have_count(0)  # she cannot act on it
    told = vera.get_by_role("status").filter(has_text="This model was changed outside Countersign.")
    expect(told).to_contain_text(f"Production of {model} went from version 1 to version 2")
    told.get_by_role("link", name=f"Incident #{number}").click()
    vera.wait_for_url(f"{stack.url}/incidents/{number}/")
    expect(vera.get_by_text("MLflow does not record who changed it.")).to_be_visible()
    expect(vera.get_by_text("Only reviewers and administrators can resolve incidents.")).to_be_visible()
    assert vera.get_by_role("button", name="Resolve incident").count() == 0

    remy.goto(f"{stack.url}/")
    remy.locator(".status-line").get_by_role("link", name=re.compile("Review incident")).click()
    if not remy.url.endswith(f"/incidents/{number}/"):  # another one is open, and the notice leads to their list
        remy.get_by_role("link", name=re.compile(f"Production of {model} went")).click()
    remy.get_by_role("textbox").last.fill("The night shift swapped it by hand; it may stay until Monday.")
    remy.get_by_role("button", name="Resolve incident").click()
    expect(remy.get_by_text("Resolved with a reason.", exact=False).first).to_be_visible()
    expect(remy.get_by_text("it may stay until Monday", exact=False).first).to_be_visible()

    vera.goto(f"{stack.url}/models/{model}/")
    expect(vera.get_by_text("This model was changed outside Countersign.")).to_have_count(0)
    assert stack.version(model, 2)["current_stage"] == "Production"


def test_a_bypass_is_put_back_where_the_policy_says_so(stack: Stack, model: str, sign_in: SignIn) -> None:
    number = go_round(stack, model)
    stack.wait_for("putting back", lambda: stack.version(model, 1)["current_stage"] == "Production")
    vera = sign_in("vera")
    vera.goto(f"{stack.url}/incidents/{number}/")
    stack.wait_for("the resolution", lambda: vera.reload() and vera.get_by_role("heading", name="Resolved").count())
    expect(vera.get_by_text("Countersign restored version 1.")).to_be_visible()
    assert stack.version(model, 2)["current_stage"] == "Archived"
    assert stack.aliases(model) == {"champion": 1}
    vera.goto(f"{stack.url}/models/{model}/")
    expect(vera.get_by_text("This model was changed outside Countersign.")).to_have_count(0)
