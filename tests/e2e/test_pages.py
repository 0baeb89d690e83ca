"""The web pages, opened in a real headless Chromium as a user would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as Late

from tests.integration.conftest import Cli

pytestmark = pytest.mark.engine


def _lab(urls: Mapping[str, str], workspace: str) -> str:
    """JupyterLab with its own workspace, so that no test finds tabs of another one."""
    return urls["jupyter"].replace("/lab?", f"/lab/workspaces/{workspace}?reset&")


def _run_command(page: Page, title: str) -> None:
    """Choose from VS Code's command palette; while the workbench still loads, not every command is there yet."""
    row = page.locator(".quick-input-list .monaco-list-row", has_text=title).first
    for _ in range(20):
        page.keyboard.press("F1")
        box = page.locator(".quick-input-widget input").first
        box.wait_for(state="visible", timeout=30_000)
        box.fill(f">{title}")
        try:
            row.click(timeout=2000)
        except Late:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"VS Code never offered {title!r}")


def _type_until(page: Page, cli: Cli, command: str, path: str, wanted: str) -> None:
    """Type a command into the terminal that has the focus until its result is there.

    The shell's prompt is drawn on a canvas, so the page does not show when it takes keys, and the first keys are lost.
    """
    for _ in range(10):
        page.keyboard.press("Enter")
        page.keyboard.type(f"{command} > {path}\n")
        for _ in range(8):
            page.wait_for_timeout(500)
            done = cli("exec", "--name", "t-python", "cat", path)
            if done.code == 0 and done.out.strip() == wanted:
                return
    raise AssertionError(f"{path} never held {wanted!r}")


def test_vs_code_shows_the_workbench_and_its_terminal_runs_a_command(
    page: Page, up_python: Mapping[str, Any], cli: Cli
) -> None:
    page.goto(up_python["urls"]["ide"])
    expect(page.locator(".monaco-workbench")).to_be_visible(timeout=60_000)
    assert "token" not in page.url
    expect(page.locator(".explorer-folders-view")).to_be_visible(timeout=60_000)
    _run_command(page, "Terminal: Create New Terminal")
    expect(page.locator(".terminal.xterm.focus")).to_be_visible(timeout=60_000)
    _type_until(page, cli, "echo $((6*7)) $(id -un) $(which python)", "/tmp/from-ide", "42 dev /opt/venv/bin/python")


def test_jupyterlab_runs_a_notebook_cell(page: Page, up_python: Mapping[str, Any]) -> None:
    page.goto(_lab(up_python["urls"], "cell"))
    card = page.locator(".jp-LauncherCard[data-category='Notebook']").first
    card.click(timeout=60_000)
    cell = page.locator(".jp-Notebook .jp-Cell .cm-content").first
    expect(page.get_by_role("button", name="| Idle").first).to_be_visible(timeout=60_000)
    cell.click()
    page.keyboard.type("import sys; print(6 * 7, sys.prefix)")
    expect(cell).to_contain_text("sys.prefix")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("42 /opt/venv", timeout=60_000)


def test_jupyterlab_opens_a_terminal(page: Page, up_python: Mapping[str, Any], cli: Cli) -> None:
    page.goto(_lab(up_python["urls"], "terminal"))
    page.locator(".jp-LauncherCard[data-category='Other']", has_text="Terminal").click(timeout=60_000)
    expect(page.locator(".jp-Terminal .xterm-screen")).to_be_visible(timeout=60_000)
    page.locator(".jp-Terminal").click()
    _type_until(page, cli, "echo $((6*7)) $(id -un)", "/tmp/from-jupyter", "42 dev")


def test_a_browser_without_the_token_is_turned_away(page: Page, up_python: Mapping[str, Any]) -> None:
    page.goto(up_python["urls"]["ide"].partition("?")[0])
    expect(page.locator("body")).to_contain_text("token")
    assert page.locator(".monaco-workbench").count() == 0
