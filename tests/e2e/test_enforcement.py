"""MLflow refuses a promotion that nobody approved, in its own pages, too, and says where to request it."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]
MODEL = "gated_fraud"


@pytest.fixture(scope="module", autouse=True)
def enforced(stack: Stack) -> Iterator[None]:
    stack.probe("enforce", "enforce")
    stack.wait_for_the_gate("enforce")
    yield
    stack.probe("enforce", "off")
    stack.wait_for_the_gate("off")


def test_what_is_refused_is_requested_where_the_refusal_says_and_delivered(stack: Stack, sign_in: SignIn) -> None:
    stack.make_version(MODEL)
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", MODEL), every=0.5)
    with pytest.raises(AssertionError, match="cannot be moved to Production here: it needs 2 approvals") as refusal:
        stack.stage(MODEL, 1, "Production")
    address = re.findall(rf"Ask for it: (\S+/p/{MODEL}/1)", str(refusal.value))[0]

    rita = sign_in("rita")
    rita.goto(address)
    rita.get_by_label("Why should it be promoted?").fill("MLflow sent me here.")
    rita.get_by_role("button", name="Submit request").click()
    rita.wait_for_url(re.compile(r"/requests/\d+/"))
    request = int(re.findall(r"/requests/(\d+)/", rita.url)[0])
    stack.wait_for("the checks", lambda: stack.probe("state", request)["status"] == "pending")
    stack.probe("approve_only", request)
    stack.wait_for("the delivery", lambda: stack.probe("state", request)["status"] == "applied")
    assert stack.version(MODEL, 1)["current_stage"] == "Production"
    assert stack.aliases(MODEL) == {"champion": 1}

    rita.goto(f"{stack.url}/models/{MODEL}/versions/1/")
    expect(rita.locator("main")).to_contain_text("MLflow refused")


def test_mlflows_own_pages_show_the_sentence_and_the_address(stack: Stack, browser: Browser) -> None:
    stack.make_version("gated_alias")
    page = browser.new_page()
    page.goto(f"{stack.mlflow_url}/#/models/gated_alias/versions/1")
    page.get_by_role("button", name="Add").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").click()
    dialog.get_by_role("combobox").press_sequentially("champion")
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_contain_text("cannot be made @champion here: it needs 2 approvals")
    expect(dialog).to_contain_text(f"{stack.url}/p/gated_alias/1")
    page.close()
    assert stack.aliases("gated_alias") == {}
