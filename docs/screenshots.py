"""``make screenshots``: takes the README's screenshots of the running platform, in Chromium.

It first runs a backfill of two weeks. The data stays the same, but Airflow's grid and the terminal show its runs.
"""

import shutil
import subprocess
import sys
from io import StringIO

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError
from rich.console import Console
from rich.text import Text

from sluice.orchestration.rest import USER
from sluice.settings import ROOT, Settings, load_settings

PICTURES = ROOT / "docs" / "pictures"
BACKFILL = ("backfill", "FROM=2013-01-01", "TO=2013-01-14")
# The Flights page shows a month, the others their defaults.
PAGES = {
    "overview": "/",
    "flights": "/flights?from=2013-01-01&to=2013-01-31",
    "pipeline": "/pipeline",
    "quarantine": "/quarantine",
    "runs": "/runs",
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def main() -> int:
    """Writes the screenshots.

    Returns:
        The exit code: 1 if the platform is down or Chromium is not installed, after one line with the reason.
    """
    if CHROMIUM is None:
        print("Chromium is not installed. Hint: run `apt-get install chromium`.", file=sys.stderr)
        return 1
    settings = load_settings()
    backfill = subprocess.run(
        ["make", "--no-print-directory", *BACKFILL], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if backfill.returncode:
        return 1
    PICTURES.mkdir(exist_ok=True)
    try:
        with sync_playwright() as playwright:
            # This may run as root, for which Chromium has no sandbox. It only opens the platform's own pages.
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            _dashboard(browser, settings)
            _grid(browser, settings)
            _terminal(browser, backfill.stdout)
            browser.close()
    except BrowserError as error:
        print(f"{error.message.splitlines()[0]}. Hint: start the platform with `make up`.", file=sys.stderr)
        return 1
    return 0


def _dashboard(browser: Browser, settings: Settings) -> None:
    for name, path in PAGES.items():
        page = _page(browser)
        page.goto(settings.pages.dashboard + path)
        _take(page, name)


def _grid(browser: Browser, settings: Settings) -> None:
    page = _page(browser)
    airflow = settings.pages.airflow
    page.goto(f"{airflow}/auth/login/")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(settings.secret("airflow_admin_password"))
    page.get_by_role("button", name="Sign In").click()
    page.goto(f"{airflow}/dags/reprocess")
    # Drag the separator until the grid is wide enough for the two weeks.
    handle = page.get_by_role("separator").first
    handle.hover()
    page.mouse.down()
    page.mouse.move(760, 430, steps=10)
    page.mouse.up()
    page.get_by_text("reload").first.wait_for()
    _take(page, "airflow-grid")


def _terminal(browser: Browser, printed: str) -> None:
    """Takes a screenshot of the command and its output, as a terminal of 120 columns shows them."""
    console = Console(record=True, width=120, file=StringIO())
    console.print(Text(f"$ make {' '.join(BACKFILL)}\n{printed.rstrip()}"))
    page = _page(browser)
    page.set_content(console.export_svg(title="sluice"))
    page.locator("svg").screenshot(path=PICTURES / "terminal.png")


def _page(browser: Browser) -> Page:
    return browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB").new_page()


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
