"""People bring each other to a request in a browser: asked by name, mentioned, told by the bell, muted."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]


@pytest.fixture
def address(stack: Stack) -> str:
    """Of a pending request of Rita's, which two reviewers may approve."""
    stack.make_version("discussed")
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", "discussed"), every=0.5)
    return f"{stack.url}/requests/{stack.probe('open_request', 'discussed', 1)}/"


def test_who_is_asked_and_mentioned_finds_it_under_the_bell(stack: Stack, address: str, sign_in: SignIn) -> None:
    rita, remy = sign_in("rita"), sign_in("remy")
    rita.goto(address)
    rita.get_by_text("Ask a reviewer by name").click()
    rita.get_by_label("Who should review it").select_option(label="Remy Ortiz")
    rita.get_by_role("button", name="Ask to review").click()
    expect(rita.get_by_text("Asked: Remy Ortiz")).to_be_visible()

    comment = rita.get_by_placeholder("Ask a question or add a note")
    comment.fill("Is the hold-out the new one,")
    rita.get_by_role("button", name="@remy.ortiz").click()
    rita.keyboard.type("please?")
    expect(comment).to_have_value("Is the hold-out the new one, @remy.ortiz please?")
    rita.get_by_role("button", name="Comment", exact=True).click()
    expect(rita.locator(".mention").get_by_text("@Remy Ortiz")).to_be_visible()

    titles = ("Rita Sanz asks you to review discussed v1 to Production", "Rita Sanz mentioned you: discussed v1")
    for title in titles:
        stack.wait_for("the notification", lambda title=title: _has(remy, stack, title), every=0.5)
    remy.get_by_role("link", name=re.compile(titles[1])).click()
    remy.wait_for_url(address)
    remy.goto(f"{stack.url}/notifications/?show=unread")
    for title in titles:
        expect(remy.get_by_role("link", name=re.compile(title))).to_have_count(0)  # read with the request's page

    remy.goto(address)
    remy.get_by_role("button", name="Subscribe").click()
    remy.get_by_role("button", name="Mute").click()
    expect(remy.get_by_text("Muted: you are only notified when something needs you.")).to_be_visible()


def _has(page: Page, stack: Stack, title: str) -> bool:
    page.goto(f"{stack.url}/notifications/")
    return page.get_by_role("link", name=re.compile(title)).count() > 0
