"""axe on every page, light and wide, dark and phone-wide, the main ones in all four; no page scrolls sideways."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e import axe
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

SIGNED_OUT = [
    "/accounts/login/",
    "/accounts/password/reset/",
    "/accounts/signup/",
    "/invitation/1-a-b/",
    "/no-such-page/",
]
PAGES = {
    "ada": [
        "/overview/",
        "/policies/",
        "/policies/new/",
        "/policies/1/versions/",
        "/freezes/",
        "/freezes/new/",
        "/webhooks/",
        "/webhooks/new/",
        "/notifications/",
        "/preferences/notifications/",
        "/targets/new/",
        "/people/",
        "/people/invite/",
        "/people/invite/list/",
        "/people/tokens/",
        "/people/service-accounts/new/",
        "/people/1/",
        "/people/2/pseudonymise/",
        "/history/import/",
        "/preferences/",
        "/preferences/tokens/",
        "/preferences/tokens/new/",
        "/accounts/password/change/",
        "/accounts/2fa/",
    ],
    "remy": [
        "/queue/",
        "/queue/?model=none",
        "/queue/together/",
        "/findings/",
        "/findings/?show=open",
        "/accounts/reauthenticate/",
    ],
    "vera": [
        "/incidents/",
        "/incidents/?show=all",
        "/history/",
        "/history/1/",
        "/history/?action=version.promoted",
        "/history/ledger/",
        "/history/at/",
        "/history/audit/?since=2020-01-01&size=5",
        "/history/audit/access/",
        "/history/audit/access/?at=2020-01-01",
        "/history/audit/reviews/?since=2020-01-01",
        "/system/",
        "/api/docs/",
    ],
    "rita": [
        "/",
        "/overview/",
        "/?tab=mine",
        "/?tab=decided",
        "/models/",
        "/search/?q=axe",
        "/p/no_such_model/1",
        "/no-such-page/",
    ],
}
SHAPES = [("light", 1280), ("dark", 390)]
OTHER_SHAPES = [("dark", 1280), ("light", 390)]
MAIN = re.compile(r"/overview/|/models/axe_applied/(versions/2/)?|/requests/\d+/")
"""Pages that are looked at in all four, as Rita sees them."""

ZOOMED = (640, 320)
"""Pixels that are left of 1280 at 200 % and at 400 % (WCAG 1.4.10): nothing scrolls sideways there, either."""
OPTIONS: dict[str, object] = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def requests_(stack: Stack) -> dict[str, list[str]]:
    """A pending, an applied and a rejected request, and the pages about them."""
    for name in ("axe_pending", "axe_applied"):
        stack.make_version(name)
        stack.stage(name, 1, "Production")
        stack.make_version(name, auc_roc=0.95)
    applied = stack.probe("approved_request", "axe_applied", 2)
    stack.wait_for("the delivery", lambda: stack.probe("state", applied)["status"] == "applied")
    stack.wait_for("the mirror", lambda: "2" in stack.probe("mirrored", "axe_pending"))
    pending = stack.probe("open_request", "axe_pending", 2)
    stack.wait_for("the watch", lambda: stack.probe("incident_of", "axe_pending"))
    incident = stack.probe("incident_of", "axe_pending")  # it was put into Production above, by nobody's leave
    stack.probe("blocking_policy", "axe_blocked")
    stack.make_version("axe_blocked")
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", "axe_blocked"))
    blocked = stack.probe("blocked_request", "axe_blocked", 1)
    promised = stack.probe("finding_and_freeze", "axe_blocked", 1)
    stack.make_version("axe_provisional")
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", "axe_provisional"))
    provisional = stack.probe("provisional_request", "axe_provisional", 1)
    stack.wait_for("the delivery", lambda: stack.probe("state", provisional)["status"] == "applied")
    shown = [f"/requests/{each}/" for each in (pending, applied, blocked, promised)]
    shown += [f"/requests/{pending}/compare/", f"/requests/{applied}/certificate/"]
    about = [
        "/models/axe_applied/",
        "/models/axe_applied/versions/2/",
        "/models/axe_pending/versions/2/",
        "/models/axe_pending/versions/1/promote/",
        "/models/axe_applied/compare/?a=1&b=2",
    ]
    return {
        "rita": shown + about,
        "remy": [*shown, f"/incidents/{incident}/", f"/requests/{provisional}/", "/models/axe_provisional/"],
        "otto": ["/models/axe_applied/roll-back/2/", "/models/axe_applied/versions/1/break-glass/2/"],
        "vera": [f"/incidents/{incident}/", "/history/at/?model=axe_applied&span=day"],
        "ada": [
            "/policies/1/",
            "/policies/3/",
            "/targets/1/",
            f"/requests/{blocked}/",
            "/models/axe_applied/metrics-of-record/",
        ],
    }


IN_THEME = """theme => {
  document.documentElement.setAttribute("data-bs-theme", theme);
  for (const each of document.getAnimations()) each.cancel();
  return document.documentElement.scrollHeight;
}"""
"""Without the way there: axe would measure colours on their way from one theme to the other. How high all of it is."""


def look(page: Page, url: str, shapes: list[tuple[str, int]]) -> list[str]:
    """Loads the page once: theme and width are up to the style sheets alone."""
    page.goto(url)
    page.locator(".htmx-request").first.wait_for(state="detached")  # what a page fetches once it is there
    found = []
    for theme, width in shapes:
        page.set_viewport_size({"width": width, "height": 900})
        height = page.evaluate(IN_THEME, theme)
        if height > 900:
            # All of it in sight: what a bar at the edge covers until one scrolls is not too small to be hit.
            page.set_viewport_size({"width": width, "height": height})
        found += violations(page, f"{url} ({theme}, {width})")
    for width in ZOOMED:
        page.set_viewport_size({"width": width, "height": 450})
        found += sideways(page, f"{url} ({width})")
    return found


def violations(page: Page, name: str) -> list[str]:
    return [f"{name}: {each}" for each in axe.run(page, OPTIONS)] + sideways(page, name)


STICKING_OUT = """() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  const isOut = (each) => each.getBoundingClientRect().right > clientWidth + 1;
  const all = scrollWidth > clientWidth ? [...document.querySelectorAll("main *")].filter(isOut) : null;
  const innermost = all?.filter((each) => ![...each.children].some(isOut));
  return innermost?.slice(0, 3).map((each) => each.outerHTML.slice(0, 90)) ?? null;
}"""


def sideways(page: Page, name: str) -> list[str]:
    found = page.evaluate(STICKING_OUT)
    return [] if found is None else [f"{name}: scrolls sideways, for {found}"]


def test_pages_before_sign_in(stack: Stack, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    found = [problem for path in SIGNED_OUT for problem in look(page, stack.url + path, SHAPES)]
    context.close()
    assert found == []


@pytest.mark.parametrize("name", ["ada", "vera", "remy", "otto", "rita"])
def test_pages_after_sign_in(
    stack: Stack, requests_: dict[str, list[str]], sign_in: Callable[..., Page], name: str
) -> None:
    page, found = sign_in(name), []
    for path in [*PAGES.get(name, []), *requests_.get(name, [])]:
        shapes = SHAPES + OTHER_SHAPES if name == "rita" and MAIN.fullmatch(path) else SHAPES
        found += look(page, stack.url + path, shapes)
    assert found == []


@pytest.mark.parametrize(("theme", "width"), SHAPES)
def test_parts_that_open(
    stack: Stack, requests_: dict[str, list[str]], sign_in: Callable[..., Page], theme: str, width: int
) -> None:
    """The findings of a decision, and a rehearsal under the form of a policy."""
    page = sign_in("remy", theme=theme, width=width)
    page.goto(stack.url + requests_["remy"][0])
    page.get_by_text("Approve with findings").click()
    found = violations(page, "the decision form with findings")
    page = sign_in("ada", theme=theme, width=width)
    page.goto(f"{stack.url}/policies/new/")
    page.get_by_label("Target").select_option(label="Production")
    page.get_by_label("Models", exact=True).fill("axe_*")
    approvals = page.locator("#id_slots-0-approvals")
    approvals.fill("3")
    page.get_by_role("button", name="Rehearse").click()
    page.get_by_role("heading", name="Rehearsal").wait_for()
    assert approvals.input_value() == "3"
    assert [*found, *violations(page, "a rehearsal")] == []
