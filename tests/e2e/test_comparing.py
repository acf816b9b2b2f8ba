"""The comparison in a browser: choosing versions, the chart by mouse and by keys, the blend, and no complaint of the
content security policy (which `sign_in` watches)."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import axe
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
MODEL = "compared"


@pytest.fixture(scope="module")
def model(stack: Stack) -> str:
    """Three versions, each with a metric, a curve and a figure."""
    for number in (1, 2, 3):
        stack.make_version(MODEL, auc_roc=0.9 + number / 100)
    stack.wait_for("the mirror", lambda: "3" in stack.probe("mirrored", MODEL), every=0.5)
    stack.wait_for("the facts", lambda: stack.probe("to_look_at", MODEL) == 3, every=0.5)
    return MODEL


def test_ticked_versions_are_compared_and_changed_on_the_page(
    stack: Stack, model: str, sign_in: Callable[..., Page]
) -> None:
    page = sign_in("vera")
    page.goto(f"{stack.url}/models/{model}/")
    for number in (1, 3):
        page.get_by_label(f"Compare version {number}").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{model}: version 3 against version 1")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{model}: versions 3 and 2 against version 1")
    page.get_by_role("link", name="Make baseline").last.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("against version 2")
    page.get_by_role("link", name="Remove version 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{model}: version 3 against version 2")
    page.get_by_role("navigation", name="Rows").get_by_role("link", name="Show all").click()
    expect(page.get_by_role("cell", name="100").first).to_be_visible()  # n_estimators, the same in both
    head = page.locator("#params thead th").first
    page.locator("#files").scroll_into_view_if_needed()
    assert head.evaluate("each => getComputedStyle(each).position") == "sticky"


def test_the_chart_follows_keys_and_mouse(stack: Stack, model: str, sign_in: Callable[..., Page]) -> None:
    page = sign_in("vera")
    page.goto(f"{stack.url}/models/{model}/compare/?v=1&v=2&v=3&base=1&plot=loss&over=steps")
    area, said = page.locator("[data-plot-area]"), page.locator("[data-plot-said]")
    reset = page.get_by_role("button", name="Reset zoom")
    area.focus()
    page.keyboard.press("Home")
    expect(said).to_have_text("Step 0: Version 1 1, Version 2 0.5, Version 3 0.33333")
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text("Step 1: Version 1 0.5, Version 2 0.33333, Version 3 0.25")
    expect(page.locator("[data-plot-value]").first).to_have_text("0.5")
    page.keyboard.press("Shift+ArrowRight")
    expect(said).to_contain_text("Step 11:")
    page.keyboard.press("End")
    expect(said).to_contain_text("Step 199:")
    expect(reset).to_be_hidden()
    page.keyboard.press("+")
    expect(reset).to_be_visible()
    expect(page.locator("[data-plot-axis]")).to_contain_text("not at zero")
    page.keyboard.press("0")
    expect(reset).to_be_hidden()

    area.scroll_into_view_if_needed()
    over = page.locator(".u-over").bounding_box()
    assert over
    y = over["y"] + over["height"] / 2
    page.mouse.move(over["x"] + over["width"] / 2, y)
    expect(page.locator("[data-plot-place]")).to_have_text(re.compile(r"^Step (9[5-9]|10[0-5])$"))
    page.mouse.move(over["x"] + over["width"] / 4, y)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] / 2, y, steps=5)
    page.mouse.up()
    expect(reset).to_be_visible()
    reset.click()
    expect(area).to_be_focused()

    log = page.get_by_label("Log scale")
    log.check()
    expect(page.locator("[data-plot-axis]")).to_have_text("The axis is logarithmic.")
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "loss-by-step.png"
    page.get_by_label("Metric", exact=True).select_option("auc_roc")
    page.get_by_label("Over", exact=True).select_option("versions")
    expect(page).to_have_url(re.compile(r"plot=auc_roc&over=versions"))
    page.locator("[data-plot-area]").focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-plot-said]")).to_have_text("Version 1, baseline: 0.91")


FINGERS = """(over, [first, second]) => {
  const { left, top } = over.getBoundingClientRect();
  const touch = (x, identifier) =>
    new Touch({ identifier, target: over, clientX: left + x * over.clientWidth, clientY: top + 40 });
  const send = (kind, places) =>
    over.dispatchEvent(new TouchEvent(kind, { touches: places.map(touch), bubbles: true, cancelable: true }));
  send("touchstart", first);
  send("touchmove", second);
  send("touchend", []);
}"""


def test_two_fingers_zoom_the_chart(stack: Stack, model: str, sign_in: Callable[..., Page]) -> None:
    page = sign_in("vera", width=390)
    page.goto(f"{stack.url}/models/{model}/compare/?v=1&v=2&v=3&base=1&plot=loss&over=steps")
    over, reset = page.locator("[data-plot] .u-over"), page.get_by_role("button", name="Reset zoom")
    expect(over).to_be_visible()
    over.evaluate(FINGERS, [[0.4], [0.2]])
    expect(reset).to_be_hidden()  # one finger scrolls the page
    over.evaluate(FINGERS, [[0.4, 0.6], [0.2, 0.8]])
    expect(reset).to_be_visible()
    over.evaluate(FINGERS, [[0.1, 0.9], [0.45, 0.55]])
    expect(reset).to_be_hidden()


def test_two_figures_are_blended_by_keys(stack: Stack, model: str, sign_in: Callable[..., Page]) -> None:
    page = sign_in("vera")
    page.goto(f"{stack.url}/models/{model}/compare/?v=1&v=2")
    blend = page.locator("[data-blend]")
    blend.locator("summary").click()
    slider = blend.get_by_role("slider")
    above = blend.locator('[data-blend-image="1"]')
    expect(above).to_have_css("opacity", "0.5")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(above).to_have_css("opacity", "0.55")
    expect(slider).to_have_attribute("aria-valuetext", "45 % Version 1, 55 % Version 2")
    page.keyboard.press("End")
    expect(above).to_have_css("opacity", "1")
    assert above.evaluate("image => image.complete && image.naturalWidth") == 64


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_the_chart_and_the_blend_are_accessible(
    stack: Stack, model: str, sign_in: Callable[..., Page], theme: str, width: int
) -> None:
    page = sign_in("vera", theme=theme, width=width)
    page.goto(f"{stack.url}/models/{model}/compare/?v=1&v=2&v=3&plot=loss&over=steps")
    page.locator("[data-blend] summary").click()
    page.locator("[data-plot-area]").focus()
    page.keyboard.press("End")
    assert axe.run(page, {}) == []
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
