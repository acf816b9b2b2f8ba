"""axe in a page: half a megabyte of script, so it comes into each page once, and only what is wrong comes back."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RUN = """async options => window.axe?.run
  ? (await axe.run(options)).violations.map(({ id, nodes }) => `${id} at ${nodes[0].target}`)
  : null"""


def run(page: Page, options: dict[str, object]) -> list[str]:
    """What it finds: the rule that is broken, and the first element that breaks it."""
    options = {"resultTypes": ["violations"], **options}
    found: list[str] | None = page.evaluate(RUN, options)
    if found is None:
        page.evaluate(AXE_SCRIPT)
        found = page.evaluate(RUN, options)
    assert found is not None
    return found
