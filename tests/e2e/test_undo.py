"""Two reviewers at one request in a browser: the page follows while one types, the last approval says so, and what is
undone reaches neither worker nor MLflow."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.stack import LOOK_SECONDS, Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]
SECONDS = 10
"""Time to undo: enough for two keys on a busy machine; it is waited for twice."""


@pytest.fixture(scope="module")
def undoing(stack: Stack) -> Iterator[Stack]:
    """The web process, which takes verdicts, gives time to undo them."""
    before = stack.web.environment
    stack.stop(stack.web)
    stack.web.environment = {**before, "COUNTERSIGN_UNDO_SECONDS": str(SECONDS)}
    stack.start(stack.web)
    yield stack
    stack.stop(stack.web)
    stack.web.environment = before
    stack.start(stack.web)


def test_the_last_approval_says_so_and_is_undone_before_anything_reaches_mlflow(
    undoing: Stack, sign_in: SignIn
) -> None:
    stack, model = undoing, "undone"
    stack.make_version(model)
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", model), every=0.5)
    number = stack.probe("open_request", model, 1)
    address = f"{stack.url}/requests/{number}/"
    before = stack.version(model, 1)

    remy, rosa = sign_in("remy"), sign_in("rosa")
    remy.goto(address)
    approve = remy.get_by_role("button", name=re.compile("^Approve"))
    expect(approve).to_have_text("Approve (1 of 2)")
    typed = remy.get_by_label("Comment", exact=True).first
    typed.fill("The hold-out is new, and")
    rosa.goto(address)
    rosa.get_by_role("button", name="Approve (1 of 2)").click()
    expect(rosa.get_by_text(f"{model} v1: approved, 1 of 2.")).to_be_visible()
    # Remy's page follows, and what he types stays.
    expect(approve).to_have_text("Approve and deliver v1 now", timeout=15_000)
    expect(typed).to_have_value("The hold-out is new, and")

    approve.click()
    expect(remy.get_by_text(f"{model} v1: approved, 2 of 2.")).to_be_visible()
    approved_at = time.monotonic()
    expect(remy.locator(":focus")).to_contain_text("Undo")  # the line, so that one key leads to the button
    remy.keyboard.press("Tab")
    remy.keyboard.press("Enter")
    expect(remy.get_by_text("Your decision is undone. You can decide again.")).to_be_visible()
    expect(remy.get_by_role("button", name="Approve and deliver v1 now")).to_be_visible()
    time.sleep(max(0, approved_at + SECONDS + LOOK_SECONDS + 2 - time.monotonic()))
    assert stack.probe("state", number)["status"] == "pending"
    assert stack.version(model, 1) == before

    # Approved anew: the worker is told for the moment at which it is due.
    remy.get_by_role("button", name="Approve and deliver v1 now").click()
    expect(remy.get_by_text("Approved. Delivery begins in a few seconds.")).to_be_visible()
    assert stack.version(model, 1) == before
    stack.wait_for("the delivery", lambda: stack.version(model, 1)["current_stage"] == "Production", seconds=90)
    # The page follows to the end, and then offers nothing to undo.
    expect(remy.get_by_text("holds Production").first).to_be_visible(timeout=20_000)
    expect(remy.get_by_role("button", name="Undo")).to_have_count(0)
    assert stack.probe("verify")["problem"] == ""
