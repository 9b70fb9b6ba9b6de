"""Chromium on a running platform: the one whose settings file SLUICE_ENV_FILE names, or one that the tests start."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from sluice.settings import Settings
from tests.fixtures.platform import Running, launched

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        reason = "Chromium is not installed: run `apt-get install chromium`"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def platform() -> Iterator[Running]:
    settings_file = os.environ.get("SLUICE_ENV_FILE")
    if settings_file:
        yield Running(Settings(_env_file=settings_file), Path(settings_file))  # type: ignore[call-arg]
        return
    with launched() as running:
        faults = ("--duplicates", "0.05", "--corrupt", "0.01", "--invalid", "0.01", "--seed", "3")
        running.sluice("replay", "--from", "2013-02-01", "--to", "2013-02-01", *faults)
        running.sluice("load")
        running.sluice("transform")
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The tests may run as root, for which Chromium has no sandbox. It only opens the dashboard.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, platform: Running) -> Iterator[Callable[..., Page]]:
    """Returns a function that opens a page; the test fails if a page has logged an error that it does not expect."""
    errors: list[str] = []
    contexts = []

    def open_(path: str, *, dark: bool = False, width: int = 1280, expected_errors: bool = False) -> Page:
        context = browser.new_context(
            base_url=f"http://127.0.0.1:{platform.settings.dashboard_port}",
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
            locale="en-GB",
        )
        contexts.append(context)
        page = context.new_page()
        if not expected_errors:
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
