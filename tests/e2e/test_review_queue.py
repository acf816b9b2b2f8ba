"""The reviewers' journeys, counted: clicks, keys, and documents that the browser loads between two requests."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.test_accessibility import violations
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]

REQUESTS = 11
MOST_CLICKS, MOST_KEYS = 11, 8
MODELS = [f"queue_{number:02}" for number in range(REQUESTS)]
SHAPES = [("light", 1280), ("dark", 390), ("dark", 1280), ("light", 390)]


@pytest.fixture(scope="module")
def waiting(stack: Stack) -> list[int]:
    for name in MODELS:
        stack.make_version(name)
    stack.wait_for("the mirror", lambda: all(stack.probe("mirrored", name) for name in MODELS), every=0.5)
    found: list[int] = stack.probe("open_requests", MODELS)
    return found


class Counted:
    """What a person does on a page, and what the browser loads for it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = self.keys = 0
        self.documents: list[str] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if request.resource_type == "document":
            self.documents.append(request.url)

    def click(self, name: str) -> None:
        self.clicks += 1
        self.page.get_by_role("button", name=re.compile(name)).first.click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys += 1
            self.page.keyboard.press(key)


@pytest.mark.parametrize(("theme", "width"), SHAPES)
def test_it_is_accessible_in_every_shape(
    stack: Stack, waiting: list[int], sign_in: SignIn, theme: str, width: int
) -> None:
    page = sign_in("remy", theme=theme, width=width)
    page.goto(f"{stack.url}/queue/?model=queue_")
    found = violations(page, f"the queue, {theme}, {width}")
    page.get_by_role("link", name="Skip", exact=True).click()
    expect(page.get_by_text(f"2 of {REQUESTS}").first).to_be_visible()
    assert [*found, *violations(page, "the next request")] == []


def test_steps_through_the_queue_load_no_page_and_the_back_button_works(
    stack: Stack, waiting: list[int], sign_in: SignIn
) -> None:
    page = sign_in("remy")
    page.goto(f"{stack.url}/queue/?model=queue_&sort=model")
    seen = Counted(page)
    heading = page.get_by_role("heading", level=1)
    page.wait_for_load_state(
        "networkidle"
    )  # the next one was fetched ahead: that it was opened is noted when it is shown
    with page.expect_request("**/opened/"):
        seen.press("n")
    expect(heading).to_contain_text("queue_01")
    expect(heading).to_be_focused()
    seen.press("j", "j", "o")
    expect(heading).to_contain_text("queue_03")
    page.go_back()
    expect(heading).to_contain_text("queue_01")
    expect(page).to_have_title(re.compile("queue_01"))
    page.go_forward()
    expect(heading).to_contain_text("queue_03")
    seen.press("c")
    expect(page.get_by_role("textbox", name=re.compile("^Comment")).last).to_be_focused()
    page.keyboard.type("Which cutoff? dn")
    page.get_by_role("button", name="Comment").click()
    expect(page.get_by_text("Which cutoff? dn").first).to_be_visible()
    expect(page.locator("#latest")).to_be_focused()
    expect(heading).to_contain_text("queue_03")
    seen.click("^Reject")  # without the comment that it needs
    expect(page.get_by_text("Enter a reason", exact=False).first).to_be_visible()
    assert seen.documents == []


def test_eleven_requests_take_eleven_clicks_and_no_page_in_between(
    stack: Stack, waiting: list[int], sign_in: SignIn
) -> None:
    page = sign_in("remy")
    page.goto(f"{stack.url}/?model=queue_&sort=model")
    seen = Counted(page)
    page.keyboard.press("q")
    page.wait_for_url("**/queue/**")
    assert len(seen.documents) == 1
    seen.documents.clear()
    for number, name in enumerate(MODELS):
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        expect(page.get_by_text(f"{number + 1} of {REQUESTS}").first).to_be_visible()
        seen.click("^Approve")
        said = page.get_by_text(f"{name} v1:").first
        expect(said).to_be_visible()
    expect(page.get_by_text("No request matches the filters.")).to_be_visible()
    assert (seen.clicks, seen.documents) == (MOST_CLICKS, [])


def test_one_approval_takes_few_keys(stack: Stack, waiting: list[int], sign_in: SignIn) -> None:
    page = sign_in("rosa")
    page.goto(f"{stack.url}/?model=queue_&sort=model")
    seen = Counted(page)
    seen.press("q")
    page.wait_for_url("**/queue/**")
    seen.press("d")
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_be_focused()
    seen.press("Enter")
    expect(page.get_by_text("queue_00 v1:").first).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("queue_01")
    spoken = page.evaluate("document.activeElement.innerText")
    assert "queue_00 v1" in spoken  # where the focus is, a screen reader reads
    assert seen.keys <= MOST_KEYS


def test_it_works_without_script(stack: Stack, waiting: list[int], sign_in: SignIn) -> None:
    page = sign_in("rosa")
    context = page.context.browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())  # type: ignore[union-attr]
    try:
        plain = context.new_page()
        plain.goto(f"{stack.url}/queue/?model=queue_&sort=model")
        expect(plain.get_by_role("heading", level=1)).to_contain_text("queue_01")
        plain.get_by_role("link", name="Skip", exact=True).click()
        expect(plain.get_by_role("heading", level=1)).to_contain_text("queue_02")
        plain.get_by_role("button", name=re.compile("^Approve")).click()
        expect(plain.get_by_role("heading", level=1)).to_contain_text("queue_03")
        expect(plain.get_by_text("queue_02 v1:").first).to_be_visible()
    finally:
        context.close()


def test_several_are_approved_together_by_keyboard(stack: Stack, sign_in: SignIn) -> None:
    models = [f"batch_{name}" for name in ("apples", "pears", "plums")]
    stack.probe("batch_policy", "batch_*")
    for name in models:
        stack.make_version(name)
    stack.wait_for("the mirror", lambda: all(stack.probe("mirrored", name) for name in models), every=0.5)
    numbers = stack.probe("open_requests", models)
    page = sign_in("remy")
    page.goto(f"{stack.url}/queue/?model=batch_&sort=model")
    page.get_by_role("link", name="Approve several together").press("Enter")
    rows = page.get_by_role("table", name="Requests for Production").get_by_role("row").filter(has_text="batch_")
    expect(rows).to_have_count(3)
    assert violations(page, "together") == []
    box = page.get_by_role("checkbox", name=re.compile("batch_plums"))
    expect(box).to_be_checked()
    box.press("Space")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text(re.compile("^Read request"))  # each can be read before
    page.get_by_role("button", name="Approve the ticked requests for Production").press("Enter")
    expect(page.get_by_text("2 requests approved together: batch_apples v1, batch_pears v1.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("batch_plums")
    states = stack.probe("states", numbers)
    assert ["review.approved" in each["actions"] for each in states] == [True, True, False]
    page.goto(f"{stack.url}/requests/{numbers[0]}/")
    expect(page.get_by_text("1 of 2").first).to_be_visible()
