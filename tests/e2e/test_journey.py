"""The main job in a browser: ask, two approvals, MLflow changes, the history tells; and what people see when it
cannot be."""

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
    """Version 1 in Production and champion, version 2 in Staging; mirrored. One model for each test."""
    name = f"journey_{request.node.name.removeprefix('test_')}"[:60]
    stack.make_version(name, auc_roc=0.90)
    stack.stage(name, 1, "Production")
    stack.engineer.call("POST", "registered-models/alias", name=name, alias="champion", version="1")
    stack.make_version(name, auc_roc=0.95)
    stack.stage(name, 2, "Staging")
    stack.wait_for(
        "the mirror", lambda: stack.probe("mirrored", name) == {"1": "Production", "2": "Staging"}, every=0.5
    )
    return name


def ask(page: Page, stack: Stack, model: str, reason: str = "Better on the October hold-out.") -> str:
    """Through the pages, from the version; returns the request's address."""
    page.goto(f"{stack.url}/models/{model}/versions/2/")
    page.get_by_role("link", name=re.compile("Request promotion to Production")).first.click()
    page.get_by_label("Why should it be promoted?").fill(reason)
    page.get_by_role("button", name="Submit request").click()
    page.wait_for_url(re.compile(r"/requests/\d+/"))
    # The worker looks at the files first.
    stack.wait_for(
        "the checks", lambda: stack.probe("state", int(page.url.rstrip("/").rsplit("/", 1)[1]))["status"] == "pending"
    )
    page.goto(page.url)
    return page.url


def test_two_reviewers_promote_and_the_history_tells(stack: Stack, model: str, sign_in: SignIn) -> None:
    rita, remy, rosa = sign_in("rita"), sign_in("remy"), sign_in("rosa")
    address = ask(rita, stack, model)
    number = address.rstrip("/").rsplit("/", 1)[1]
    expect(rita.get_by_text("You requested this promotion, so another person must review it.").first).to_be_visible()
    assert rita.get_by_role("button", name=re.compile("^Approve")).count() == 0

    remy.goto(f"{stack.url}/")
    remy.get_by_role("link", name=re.compile(model)).first.click()
    remy.wait_for_url(address)
    remy.get_by_role("button", name=re.compile("^Approve")).click()
    expect(remy.get_by_text("Your approval is recorded.").first).to_be_visible()
    assert stack.version(model, 2)["current_stage"] == "Staging"

    rosa.goto(address)
    rosa.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("Checked the segments.")
    rosa.get_by_role("button", name=re.compile("^Approve")).click()
    # Nobody reloads: the page follows the delivery by itself.
    expect(rosa.get_by_text(re.compile(r"Version 2 holds Production")).first).to_be_visible(timeout=30_000)

    found = stack.version(model, 2)
    assert found["current_stage"] == "Production"
    assert stack.version(model, 1)["current_stage"] == "Archived"
    assert stack.aliases(model) == {"champion": 2}
    assert (
        "Approved for Production by Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com> · "
        in found["description"]
    )
    tags = {each["key"]: each["value"] for each in found["tags"]}
    assert (tags["countersign.request"], tags["countersign.requested_by"]) == (number, "Rita Sanz <rita@example.com>")

    vera = sign_in("vera")
    vera.goto(f"{stack.url}/history/?model={model}")
    for sentence in ("Rita Sanz requested", "Rosa Lind approved", "Countersign worker promoted"):
        expect(vera.get_by_role("listitem").filter(has_text=sentence).first).to_be_visible()
    with vera.expect_download() as download:
        vera.get_by_role("link", name=re.compile("CSV")).first.click()
    exported = download.value.path().read_text()
    assert exported.count("review.approved") == 2
    assert "version.promoted" in exported


def test_a_blocked_request_is_overridden_signed_with_a_proof_and_certified(stack: Stack, sign_in: SignIn) -> None:
    name = "journey_signed"
    stack.probe("blocking_policy", name)
    stack.make_version(name, auc_roc=0.9)
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", name))
    address = f"{stack.url}/requests/{stack.probe('blocked_request', name, 1)}/"
    remy, ada = sign_in("remy"), sign_in("ada")
    remy.goto(address)
    expect(remy.get_by_text("review has not started", exact=False).first).to_be_visible()
    assert remy.get_by_role("button", name=re.compile("^Approve")).count() == 0
    ada.goto(address)
    ada.get_by_text("Override this check").click()
    ada.get_by_label("Why is it right to continue?").fill("Trained before we logged it.")
    ada.get_by_role("button", name=re.compile("^Override")).click()
    expect(ada.get_by_text("is overridden.", exact=False).first).to_be_visible()

    # An old session: what was proved at sign-in is too old by now.
    assert stack.probe("age_proofs", "Remy Ortiz", 600) >= 1
    remy.goto(address)
    remy.get_by_label("Meaning of my signature").select_option("responsible")
    remy.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("I answer for it.")
    remy.get_by_role("button", name=re.compile("^Approve")).click()
    remy.wait_for_url(re.compile("/reauthenticate/"))
    remy.get_by_label("Password").fill(PASSWORD)
    remy.get_by_role("button", name=re.compile("Confirm", re.IGNORECASE)).click()
    expect(remy.get_by_text(re.compile(r"Version 1 holds Production")).first).to_be_visible(timeout=30_000)
    expect(remy.get_by_text(re.compile("meaning responsible · proved by password")).first).to_be_visible()
    remy.get_by_role("link", name="Approval certificate").click()
    expect(remy.get_by_text("I answer for it.").first).to_be_visible()
    expect(remy.get_by_text("Trained before we logged it.").first).to_be_visible()


def test_a_rejection_needs_a_reason_and_keeps_what_was_typed(stack: Stack, model: str, sign_in: SignIn) -> None:
    address = ask(sign_in("rita"), stack, model)
    remy = sign_in("remy")
    remy.goto(address)
    remy.get_by_role("button", name=re.compile("^Reject")).click()
    expect(remy.get_by_text("Enter a reason; the requester and auditors read it.").first).to_be_visible()
    remy.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("Recall fell in segment B.")
    remy.get_by_role("button", name=re.compile("^Reject")).click()
    expect(remy.get_by_text("Recall fell in segment B.").first).to_be_visible()
    expect(remy.get_by_text("Rejected", exact=False).first).to_be_visible()
    assert stack.version(model, 2)["current_stage"] == "Staging"


def test_the_page_of_the_slower_reviewer_says_what_happened(stack: Stack, model: str, sign_in: SignIn) -> None:
    address = ask(sign_in("rita"), stack, model)
    remy, rosa = sign_in("remy"), sign_in("rosa")
    remy.goto(address)
    rosa.goto(address)
    remy.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("No.")
    remy.get_by_role("button", name=re.compile("^Reject")).click()
    remy.wait_for_load_state()
    rosa.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("My long thoughts.")
    rosa.get_by_role("button", name=re.compile("^Approve")).click()
    expect(rosa.get_by_text("No decision is open: rejected.").first).to_be_visible()
    assert "My long thoughts." in rosa.content()


def test_pages_stay_up_and_say_so_while_mlflow_is_away(stack: Stack, model: str, sign_in: SignIn) -> None:
    address = ask(sign_in("rita"), stack, model)
    remy, rosa = sign_in("remy"), sign_in("rosa")
    remy.goto(address)
    remy.get_by_role("button", name=re.compile("^Approve")).click()
    stack.stop(stack.mlflow)
    try:
        stack.wait_for("the notice", lambda: not stack.ready()["checks"]["mlflow"]["ok"])
        rosa.goto(address)
        expect(rosa.get_by_text(re.compile("MLflow has not answered")).first).to_be_visible()
        rosa.get_by_role("button", name=re.compile("^Approve")).click()
        expect(rosa.get_by_text(re.compile("Waiting for MLflow since")).first).to_be_visible(timeout=30_000)
    finally:
        stack.start(stack.mlflow)
    expect(rosa.get_by_text(re.compile(r"Version 2 holds Production")).first).to_be_visible(timeout=60_000)


def test_everything_works_without_script(stack: Stack, model: str, browser: object, sign_in: SignIn) -> None:
    page = sign_in("rita")
    context = page.context.browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())  # type: ignore[union-attr]
    try:
        plain = context.new_page()
        address = ask(plain, stack, model)
        plain.goto(address)
        plain.get_by_role("textbox", name=re.compile("^Comment")).last.fill("Without script.")
        plain.get_by_role("button", name=re.compile("^Comment|^Add comment|^Post")).click()
        expect(plain.get_by_text("Without script.").first).to_be_visible()
    finally:
        context.close()


def test_the_address_in_mlflows_refusal_waits_for_the_version(stack: Stack, sign_in: SignIn) -> None:
    page = sign_in("rita")
    page.goto(f"{stack.url}/p/journey_short/1")
    expect(page.get_by_text("Not mirrored yet.")).to_be_visible()
    stack.make_version("journey_short")
    page.wait_for_url(re.compile(r"/models/journey_short/versions/1/promote/"), timeout=60_000)
    expect(page.get_by_label("Why should it be promoted?")).to_be_visible()
