"""An installation for all browser and outage tests of a worker, and a browser profile per person and file."""

import os
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

from tests.e2e.probes import PASSWORD
from tests.support.stack import Stack, own_database_url
from tests.support.warm import WarmSupervisor

CHROMIUM = os.environ.get("COUNTERSIGN_CHROMIUM", "/usr/bin/chromium-headless-shell")
"""Chromium without a window: with one that nobody sees it takes twice the processor time."""

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--in-process-gpu"]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    # Of the run, where several workers share it: each has a folder of its own in the run's.
    shared = folder.parents[1] if "PYTEST_XDIST_WORKER" in os.environ else folder.parent
    with WarmSupervisor(folder / "run") as supervisor:
        own = own_database_url(f"stack_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
        made = Stack(supervisor, folder, own)
        made.start_all(shared / "template")
        yield made
        made.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed after these tests: while it is open an event loop runs in this thread, and Django refuses its database."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def profiles() -> dict[tuple[str, str], StorageState]:
    """What a browser keeps of a person who has just signed in at an address."""
    return {}


@pytest.fixture
def sign_in(
    stack: Stack, browser: Browser, profiles: dict[tuple[str, str], StorageState]
) -> Iterator[Callable[..., Page]]:
    """`sign_in("rita")`: a new browser profile in which Rita is signed in, at the site's own address or at another one
    that leads to it: the first time in a file through the form, and she is at home then; later with that session, and
    she is nowhere yet. Every message on the console that tells of a refused script, style or request fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_for(name: str, *, theme: str = "light", width: int = 1280, height: int = 900, url: str = "") -> Page:
        url = url or stack.url
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            storage_state=profiles.get((name, url)),
        )
        context.add_cookies([{"name": "theme", "value": theme, "url": url}])
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if (name, url) not in profiles:
            page.goto(f"{url}/accounts/login/")
            page.get_by_label("Email").fill(f"{name}@example.com")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url(re.compile(f"^{re.escape(url)}/(overview/)?$"))
            profiles[name, url] = context.storage_state()
        return page

    yield open_for
    for context in contexts:
        context.close()
    assert complaints == []
