"""Time travel in a browser: the slider with and without script, steps from change to change, the picture on the
model's page; and an import from upload to mark."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.probes import PASSWORD
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
MODEL = "traveller"
MOST_CLICKS, FOLD = 2, 900


@pytest.fixture(scope="module")
def model(stack: Stack) -> str:
    """Version 1 promoted to Production, then version 2."""
    for number in (1, 2):
        stack.make_version(MODEL, auc_roc=0.9 + number / 100)
        stack.wait_for("the mirror", lambda number=number: str(number) in stack.probe("mirrored", MODEL))
        request = stack.probe("approved_request", MODEL, number)
        stack.wait_for(
            "the delivery", lambda request=request: stack.probe("state", request)["status"] == "applied", every=0.5
        )
    return MODEL


def test_the_slider_and_the_steps_lead_through_the_changes(
    stack: Stack, model: str, sign_in: Callable[..., Page]
) -> None:
    page = sign_in("vera")
    page.goto(f"{stack.url}/models/{model}/")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.get_by_role("link", name="Time travel").click()
    held = page.get_by_role("region", name="Held now")
    expect(held).to_contain_text("Version 2")
    expect(held).to_contain_text("Promoted through Countersign.")
    page.get_by_role("link", name="Previous change").click()
    expect(page.locator(".moments")).to_contain_text("Version 2")
    page.get_by_role("link", name="Previous change").click()
    expect(page.locator(".moments")).to_contain_text("Version 1")
    expect(page.get_by_role("link", name="Previous change")).to_have_count(0)

    slider = page.get_by_role("slider", name="Moment on the timeline")
    before = page.url
    slider.evaluate("each => { each.dataset.before = 'true' }")
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_url(lambda url: url != before)
    expect(page.locator("[data-time-slider][data-before]")).to_have_count(0)  # the answer is there, not on its way
    # The right end is the second in which the page was made: now, or over by now on a busy machine, but never to come.
    expect(page.get_by_role("region", name=re.compile(r"^Held (now|at \d)"))).to_contain_text("Version 2")
    expect(page.locator("[data-time-slider]")).to_be_focused()
    page.keyboard.press("Home")
    expect(page.get_by_text("No matches at that moment.")).to_be_visible()
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d UTC$"))


def test_two_clicks_answer_who_approved_what_was_in_production_on_a_day(
    stack: Stack, model: str, sign_in: Callable[..., Page]
) -> None:
    """From any page; the day that is picked needs no third, and nobody scrolls for the answer."""
    page = sign_in("vera", width=1280, height=900)
    page.goto(f"{stack.url}/models/{model}/")
    clicks = 0
    for name in ("History", "Time travel"):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_load_state()
        clicks += 1
    moment = page.get_by_label("At (UTC)")
    now = moment.input_value()
    documents: list[str] = []
    page.on("request", lambda sent: documents.append(sent.url) if sent.resource_type == "document" else None)
    moment.fill("2020-01-01T12:00")
    expect(page.get_by_text("No records of that moment.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"at=2020-01-01T12%3A00"))
    moment.fill(now)
    # Other tests have models in this installation too, and how many are there before this one is not what is asked.
    page.get_by_role("textbox", name="Model", exact=True).fill(model)
    expect(page.locator(".moments > li")).to_have_count(1)
    approved = page.locator(".moments > li", has_text=model).locator(".holder-people").first
    expect(approved).to_contain_text("approved by Remy")
    expect(page.get_by_role("link", name="JSON")).to_have_attribute("href", re.compile(f"at={now[:10]}"))
    assert (clicks, documents) == (MOST_CLICKS, [])
    assert page.evaluate("window.scrollY") == 0
    first, line = page.locator(".holder-people").first.bounding_box(), page.locator("#line-title").bounding_box()
    assert first is not None
    assert line is not None
    assert first["y"] + first["height"] <= FOLD
    assert first["y"] < line["y"]


def test_the_slider_works_without_script(stack: Stack, model: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/accounts/login/")
    page.get_by_label("Email").fill("vera@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(f"{stack.url}/history/at/?model={model}")
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Show this moment").click()
    expect(page).to_have_url(re.compile(rf"/history/at/\?model={model}&span=all&at=2"))
    expect(page.get_by_text("No matches at that moment.")).to_be_visible()
    context.close()


def test_earlier_history_is_looked_at_confirmed_and_marked(
    stack: Stack, model: str, sign_in: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "earlier.csv"
    file.write_text(
        "model;version;target;from;until;approved_by\n"
        f"{model};1;Production;2025-01-01;2025-02-01;Sam Old\n"
        f"{model};1;Production;2025-01-15;2025-03-01;Sam Old\n"
    )
    page = sign_in("ada", width=390)
    page.goto(f"{stack.url}/history/")
    page.get_by_role("link", name="Import", exact=True).click()
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Preview rows").click()
    expect(page.get_by_text("Production is held by this very version then, says line 2")).to_be_visible()
    page.get_by_role("button", name="Import 1 row").click()
    expect(page.get_by_text("1 row imported. 1 was refused.")).to_be_visible()
    page.goto(f"{stack.url}/history/at/?at=2025-01-10&model={model}")
    expect(page.locator(".moments")).to_contain_text("Imported from earlier records: approved by Sam Old.")
