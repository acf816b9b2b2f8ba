"""Roll back, break-glass and the review afterwards in a browser, with the real worker and a real MLflow server."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.probes import PASSWORD
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]


@pytest.fixture
def model(stack: Stack, request: pytest.FixtureRequest) -> str:
    """Versions 1 and 2 were promoted one after the other; there is a version 3."""
    name = f"urgent_{request.node.name.removeprefix('test_')}"[:60]
    for number in (1, 2, 3):
        stack.make_version(name, auc_roc=0.9 + number / 100)
    stack.wait_for("the mirror", lambda: "3" in stack.probe("mirrored", name))
    for number in (1, 2):
        asked = stack.probe("approved_request", name, number)
        stack.wait_for(
            "the delivery", lambda asked=asked: stack.probe("state", asked)["status"] == "applied", every=0.5
        )
    return name


def test_one_click_and_a_reason_roll_back(stack: Stack, model: str, sign_in: SignIn) -> None:
    otto = sign_in("otto")
    otto.goto(f"{stack.url}/models/{model}/")
    otto.get_by_role("link", name="Roll back Production").click()
    expect(otto.get_by_text("the last approved holder")).to_be_visible()
    otto.get_by_label("Why?").fill("Version 2 scores every customer as lost.")
    otto.get_by_role("button", name="Roll back Production").click()
    expect(otto.get_by_text("Version 1 holds Production").first).to_be_visible(timeout=30_000)
    assert stack.version(model, 1)["current_stage"] == "Production"
    assert stack.version(model, 2)["current_stage"] == "Archived"
    assert stack.aliases(model) == {"champion": 1}
    assert "Rolled back into Production by Otto Reyes" in stack.version(model, 1)["description"]


def test_the_glass_is_broken_seen_by_everybody_and_reviewed(stack: Stack, model: str, sign_in: SignIn) -> None:
    otto = sign_in("otto")
    otto.goto(f"{stack.url}/models/{model}/versions/3/")
    otto.get_by_role("link", name="Promote to Production without approval…").click()
    otto.get_by_label("What is the emergency?").fill("Nothing has been scored since nine o'clock.")
    otto.get_by_label("Type the model's name").fill(model)
    # An old session: what was proved at sign-in is too old by now.
    assert stack.probe("age_proofs", "Otto Reyes", 600) >= 1
    otto.get_by_role("button", name="Promote without approval").click()
    otto.wait_for_url(re.compile("/reauthenticate/"))
    otto.get_by_label("Password").fill(PASSWORD)
    otto.get_by_role("button", name="Confirm").click()
    expect(otto.get_by_text("Version 3 holds Production").first).to_be_visible(timeout=30_000)
    assert stack.version(model, 3)["current_stage"] == "Production"
    assert "without approval (break-glass) by Otto Reyes" in stack.version(model, 3)["description"]

    vera = sign_in("vera")
    vera.goto(f"{stack.url}/models/")
    expect(vera.locator(".status-line").get_by_text("waits for review")).to_be_visible()
    vera.goto(f"{stack.url}/models/{model}/versions/3/")
    expect(vera.get_by_role("region", name="Emergency promotion").first).to_contain_text("Not reviewed yet.")

    remy = sign_in("remy")
    remy.goto(f"{stack.url}/")
    remy.get_by_role("link", name=re.compile(model)).first.click()
    expect(remy.get_by_role("heading", name=re.compile("Promoted without approval"))).to_be_visible()
    remy.get_by_label("Not justified").check()
    remy.get_by_label("Why?").fill("It could have waited for an approval.")
    remy.get_by_role("button", name="Record the review").click()
    expect(remy.get_by_text("Reviewed afterwards: not justified").first).to_be_visible()
    remy.get_by_role("link", name="Roll back Production").click()
    remy.get_by_label("Why?").fill("It was not justified.")
    remy.get_by_role("button", name="Roll back Production").click()
    expect(remy.get_by_text("Version 2 holds Production").first).to_be_visible(timeout=30_000)
    assert stack.version(model, 2)["current_stage"] == "Production"
