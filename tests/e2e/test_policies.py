"""The form of a policy in a browser: how many controls it shows, and how many clicks a policy takes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_accessibility import violations
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

VISIBLE = """() => [...document.querySelectorAll(
  ".policy-form :is(input:not([type=hidden]), select, textarea, button, a.btn)")].filter((one) => one.checkVisibility()
).length"""
MOST_CONTROLS, MOST_CLICKS = 8, 8


class Hand:
    """Acts like somebody with a mouse, and counts its clicks: a choice takes two, a text the one into its field."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def press(self, role: str, name: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]
        self.clicks += 1

    def write(self, selector: str, text: str) -> None:
        self.page.locator(selector).fill(text)
        self.clicks += 1

    def choose(self, selector: str, label: str) -> None:
        self.page.locator(selector).select_option(label=label)
        self.clicks += 2


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_a_policy_with_two_groups_takes_few_clicks(
    stack: Stack, sign_in: Callable[..., Page], theme: str, width: int
) -> None:
    ada = sign_in("ada", theme=theme, width=width)
    for group in ("Fraud risk", "Fraud legal"):
        ada.goto(f"{stack.url}/people/")
        if ada.get_by_role("link", name=group, exact=True).count() == 0:
            ada.get_by_label("Name of the new group").fill(group)
            ada.get_by_role("button", name="Add group").click()
            expect(ada.get_by_role("link", name=group, exact=True)).to_be_visible()
    ada.goto(f"{stack.url}/policies/")
    hand = Hand(ada)
    ada.get_by_role("link", name="Add policy for Staging").or_(ada.get_by_role("link", name="Add policy")).first.click()
    hand.clicks += 1
    ada.wait_for_url("**/policies/new/**")
    assert ada.evaluate(VISIBLE) <= MOST_CONTROLS
    assert ada.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert violations(ada, "a new policy") == []
    if ada.locator("#id_target").input_value() == "":
        ada.locator("#id_target").select_option(label="Staging")
    pattern = f"fraud_{theme}_*"
    hand.write("#id_model_pattern", pattern)
    hand.choose("#id_slots-0-group", "Fraud risk")
    hand.press("button", "Add group")
    expect(ada.locator("#id_slots-1-group")).to_be_focused()
    expect(ada.locator("#id_slots-1-approvals")).to_have_value("1")
    expect(ada.locator("#id_model_pattern")).to_have_value(pattern)
    hand.choose("#id_slots-1-group", "Fraud legal")
    sentence = f"Staging of {pattern} needs 2 approvals: 1 from Fraud risk and 1 from Fraud legal"
    expect(ada.locator(".policy-draft")).to_contain_text(sentence)
    assert violations(ada, "a policy with two groups") == []
    save = ada.get_by_role("button", name="Add policy")
    expect(save).to_be_in_viewport()
    hand.press("button", "Add policy")
    expect(ada.get_by_text(f"Staging of {pattern} now needs 2 approvals")).to_be_visible()
    assert hand.clicks <= MOST_CLICKS
