"""A user in front of a browser: logs in, opens a PySpark notebook, runs cells. Headless Chromium, for real."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import TimeoutError, expect, sync_playwright  # noqa: A004

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

# Everything behind the page is an emulated VM: a server start takes a minute, a SparkContext two.
PATIENCE_MS = 1_200_000
RELOAD_MS = 180_000
# Without these Chromium looks for its maker's servers at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def user_at(url: str, pictures: Path) -> Iterator[Page]:
    """Open a browser window on `url`; a picture of the page is kept in `pictures` when something fails."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        # The cluster's own authority is checked by `verify`; a browser's store is the user's own affair.
        page = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        try:
            page.goto(url)
            yield page
        finally:
            page.screenshot(path=pictures / "last.png")
            browser.close()


def log_in(page: Page, user: str, password: str) -> None:
    """Fill in the Hub's form and wait until JupyterLab's launcher is there."""
    send_form(page, user, password)
    open_lab(page)


def send_form(page: Page, user: str, password: str) -> None:
    """Fill in the Hub's form and send it."""
    page.fill("#username_input", user)
    page.fill("#password_input", password)
    page.click("#login_submit")


def log_in_elsewhere(page: Page, subject: str) -> None:
    """Press the Hub's button, and log in at the OIDC server of the tests."""
    page.click("text=Sign in with")
    page.fill("input[name=sub]", subject)
    page.get_by_role("button", name="Authorize", exact=True).click()


def refusal(page: Page) -> str:
    """Wait until the login page says why somebody may not log in, and return that."""
    return page.locator(".login_error").inner_text()


def change_first_password(page: Page, user: str, first: str, new: str) -> None:
    """Log in with a password that must be changed, change it on the page that follows, and wait for JupyterLab."""
    page.fill("#username_input", user)
    page.fill("#password_input", first)
    page.click("#login_submit")
    page.wait_for_url("**/hub/change-password*")
    expect(page.locator("#login-main")).to_contain_text("has to be changed before you can go on")
    assert page.input_value("#username_input") == user
    page.fill("#password_input", first)
    for field in ("#new_password_input", "#again_input"):
        page.fill(field, new)
    page.click("#change_submit")
    open_lab(page)


def open_lab(page: Page) -> None:
    """Wait until JupyterLab's launcher is there, once somebody has logged in."""
    page.wait_for_url("**/lab*")
    # Without what was open the last time: JupyterLab would show that, and no launcher.
    page.goto(page.url.partition("?")[0] + "?reset")
    # Chromium drops what it is loading when a network interface of its machine comes or goes: do as a person would.
    for _ in range(PATIENCE_MS // RELOAD_MS):
        try:
            page.wait_for_selector(".jp-LauncherCard", timeout=RELOAD_MS)
        except TimeoutError:
            page.reload()
        else:
            return
    raise AssertionError("JupyterLab's launcher does not appear")


def log_in_to_horizon(page: Page, user: str, password: str) -> None:
    """Fill in Horizon's form and wait until the user's own menu is there."""
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    page.click("#loginBtn")
    page.wait_for_selector(".user-name")


def instances(page: Page) -> set[str]:
    """Open Horizon's list of the project's instances and return their names."""
    page.click("text=Instances")
    page.wait_for_selector("#instances")
    return set(page.locator("#instances td.anchor").all_inner_texts())


def dashboard(page: Page, path: str = "/admin/monitoring/") -> str:
    """Open the page of monitoring, Horizon's by default, wait for its charts, and return what it says about alerts."""
    page.goto(urljoin(page.url, path))
    # The first is a line of the grid, which is too flat to count as visible.
    page.wait_for_selector("figure svg path", state="attached")
    return page.inner_text(".alerts")


def alert(page: Page, seconds: float) -> str:
    """Wait until the page of monitoring names an alert by itself, and return its words."""
    found = page.locator(".alerts li").first
    found.wait_for(timeout=seconds * 1000)
    return found.inner_text()


def figure(page: Page, title: str, value: str, seconds: float) -> None:
    """Wait until a figure on the page of monitoring has this value by itself."""
    found = page.locator("dl.figures > div", has=page.locator("dt", has_text=re.compile(f"^{title}$")))
    expect(found.locator("dd").first).to_have_text(re.compile(rf"^{value}\b"), timeout=seconds * 1000)


def no_alert(page: Page, seconds: float) -> None:
    """Wait until the page of monitoring says that no alert fires."""
    page.wait_for_selector(".alerts.none", timeout=seconds * 1000)


def may_see(page: Page, path: str) -> bool:
    """Return whether Horizon shows a page to this user: it leads others to its login."""
    answer = page.goto(urljoin(page.url, path))
    return bool(answer and answer.ok) and urlsplit(page.url).path == path


def open_pyspark(page: Page) -> None:
    """Click on the PySpark card of the launcher and wait until the kernel answers."""
    page.click('.jp-LauncherCard[data-category="Notebook"][title^="PySpark"]:not([title^="PySpark (Connect)"])')
    page.wait_for_selector(".jp-Notebook .jp-Cell .cm-content")
    # JupyterLab drops a cell that is run before the notebook has its kernel: no person is that quick.
    status = page.locator("#jp-main-statusbar")
    expect(status).to_contain_text(re.compile(r"PySpark \| (Idle|Busy)"), timeout=PATIENCE_MS)


def start_cell(page: Page, code: str) -> Locator:
    """Type `code` into the last cell and run it; return the cell, which may still be busy."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cell = page.locator(f".jp-Notebook .jp-CodeCell >> nth={cells.count() - 1}")
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    return cell


def finished(cell: Locator) -> Locator:
    """Wait until a cell has ended and return its output."""
    # [ ] before it runs, [*] while it does, then its number.
    expect(cell.locator(".jp-InputArea-prompt")).to_have_text(re.compile(r"\[\d+\]"), timeout=PATIENCE_MS)
    return cell.locator(".jp-OutputArea")


def run_cell(page: Page, code: str) -> str:
    """Run `code` in the last cell to its end and return the text of its output."""
    return finished(start_cell(page, code)).inner_text()


def shows_a_picture(page: Page, code: str) -> bool:
    """Run `code` in the last cell to its end and say whether there is a picture of some size in its output."""
    box = finished(start_cell(page, code)).locator("img").bounding_box()
    return box is not None and box["width"] > 100


def interrupt_kernel(page: Page, user: str) -> None:
    """Interrupt the user's only kernel, as the button of the toolbar does."""
    assert _ask_kernels(page, user, "/interrupt", "POST") == [204]


def shut_down_kernels(page: Page, user: str) -> None:
    """Shut all of the user's kernels down, as the menu does."""
    assert _ask_kernels(page, user, "", "DELETE") == [204]


def _ask_kernels(page: Page, user: str, path: str, method: str) -> list[int]:
    """Send a request about each kernel to the notebook server's own API; return the status of each answer."""
    code = """async ([base, path, method]) => {
        const xsrf = document.cookie.split('; ').find(one => one.startsWith('_xsrf=')).slice(6);
        const ask = (rest, method) => fetch(base + rest, {method, headers: {'X-XSRFToken': xsrf}});
        const kernels = await (await ask('', 'GET')).json();
        const answers = await Promise.all(kernels.map(kernel => ask(`/${kernel.id}${path}`, method)));
        return answers.map(answer => answer.status);
    }"""
    statuses: list[int] = page.evaluate(code, [f"/user/{user}/api/kernels", path, method])
    return statuses
