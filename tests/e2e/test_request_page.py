"""The request page as people meet it: what is on the first screen, how long it is on a phone, what a reload keeps, and
how few pages lie before it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]
MODEL = "pixels"
FIRST = {"auc_roc": 0.912, "log_loss": 0.301, "f1": 0.81, "precision": 0.83, "recall": 0.79, "accuracy": 0.9}
SECOND = {"auc_roc": 0.931, "log_loss": 0.288, "f1": 0.82, "precision": 0.82, "recall": 0.8, "accuracy": 0.9}
PHONE_HEIGHT_IN_0_4 = 4895
"""Pixels of this very request at 390 by 844, for Remy, in 0.4.0."""


@pytest.fixture(scope="module")
def asked(stack: Stack) -> int:
    """Version 1 in Production by approval; version 2, trained on other data with other code, is asked for."""

    def register(metrics: dict[str, float], letter: str, cutoff: str) -> None:
        run_id = stack.engineer.log_run(metrics, {"max_depth": letter, "seed": "1", "eta": "0.1"})
        number = stack.engineer.create_version(MODEL, run_id=run_id, description=f"Trained on the extract {letter}.")
        for key, value in {"git_commit": letter * 40, "training_cutoff": cutoff}.items():
            given = {"name": MODEL, "version": str(number), "key": key, "value": value}
            stack.engineer.call("POST", "model-versions/set-tag", **given)

    register(FIRST, "a", "2026-06-30")
    first = stack.probe("approved_request", MODEL, 1)
    stack.wait_for("the delivery", lambda: stack.probe("state", first)["status"] == "applied", every=0.5)
    register(SECOND, "b", "2026-10-31")
    stack.wait_for("the mirror", lambda: "2" in stack.probe("mirrored", MODEL), every=0.5)
    return int(stack.probe("open_request", MODEL, 2))


def top(page: Page, selector: str) -> float:
    """Pixels from the top of the page's content."""
    found = page.evaluate(
        "selector => document.querySelector(selector).getBoundingClientRect().top"
        " - document.querySelector('#main').getBoundingClientRect().top",
        selector,
    )
    return float(found)


def height(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollHeight"))


def test_the_metrics_begin_in_the_first_300_pixels(stack: Stack, asked: int, sign_in: SignIn) -> None:
    page = sign_in("remy")
    page.goto(f"{stack.url}/requests/{asked}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Promote pixels v2 to Production (replaces v1)")
    assert top(page, "#metrics") < 200
    assert top(page, "#metrics tbody tr") < 300
    approve = page.get_by_role("button", name=re.compile("^Approve"))
    assert approve.bounding_box()["y"] < 900  # type: ignore[index]
    beside = page.locator(".request-sticky")
    assert beside.evaluate("element => getComputedStyle(element).overflowY") == "visible", "no scroller of its own"


def test_a_phone_shows_it_in_half_the_height_with_the_decision_in_reach(
    stack: Stack, asked: int, sign_in: SignIn
) -> None:
    page = sign_in("remy", width=390, height=844)
    page.goto(f"{stack.url}/requests/{asked}/")
    assert height(page) <= PHONE_HEIGHT_IN_0_4 / 2
    bar = page.get_by_role("link", name="Review and decide")
    assert bar.bounding_box()["y"] < 844  # type: ignore[index]
    bar.click()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_be_in_viewport()


def test_half_written_text_survives_a_reload_and_goes_when_it_is_sent(
    stack: Stack, asked: int, sign_in: SignIn
) -> None:
    address = f"{stack.url}/requests/{asked}/"
    page = sign_in("remy")
    page.goto(address)
    comment, decision = page.locator("#id_body"), page.locator("#id_comment")
    comment.fill("How was segment B sampled?")
    decision.fill("Looks right, but")
    page.reload()
    assert comment.input_value() == "How was segment B sampled?"
    assert decision.input_value() == "Looks right, but"
    page.get_by_role("button", name="Comment", exact=True).click()
    page.wait_for_url(re.compile("#latest$"))
    expect(page.locator("#latest")).to_contain_text("How was segment B sampled?")
    expect(page.locator("#latest")).to_be_focused()
    assert comment.input_value() == ""
    assert decision.input_value() == "Looks right, but", "it was not sent"
    rita = sign_in("rita")
    rita.goto(f"{stack.url}/models/{MODEL}/versions/2/promote/")
    rita.get_by_label("Why should it be promoted?").fill("Better on segment B.")
    rita.reload()
    assert rita.get_by_label("Why should it be promoted?").input_value() == "Better on segment B."
    rosa = sign_in("rosa")
    rosa.goto(address)
    assert rosa.locator("#id_comment").input_value() == "", "what others write stays with them"


def test_a_verdict_is_answered_where_the_focus_is(stack: Stack, asked: int, sign_in: SignIn) -> None:
    page = sign_in("rosa")
    page.goto(f"{stack.url}/requests/{asked}/")
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.locator(".messages")).to_be_focused()
    expect(page.locator(".messages")).to_contain_text("Your approval is recorded.")


def test_two_pages_lie_between_sign_in_and_a_request(stack: Stack, sign_in: SignIn) -> None:
    stack.make_version("two_pages")
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", "two_pages"), every=0.5)
    stack.probe("join", "Nora Ek", "requester")
    nora = sign_in("nora")
    shown = [nora.url]
    nora.on("framenavigated", lambda frame: shown.append(frame.url))
    nora.get_by_role("link", name="Request promotion of two_pages v1").click()
    nora.get_by_label("Why should it be promoted?").fill("The first one.")
    nora.get_by_role("button", name="Submit request").click()
    nora.wait_for_url(re.compile(r"/requests/\d+/"))
    expect(nora.get_by_role("heading", level=1)).to_have_text("Promote two_pages v1 to Production")
    assert len(shown[:-1]) == 2, shown
