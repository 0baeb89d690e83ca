"""The web pages, opened in a real headless Chromium as a user would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as Late

from tests.integration.conftest import Cli, docker
from tests.integration.openvsx import Registry

pytestmark = pytest.mark.engine
EDITOR = Path(__file__).parents[2] / "presets" / "python" / "editor"


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


SHOP = """\
import json


def total(prices: list[int]) -> int:
    result = sum(prices)
    return result


print(total([40, 2]), nowhere, total("words"))
import os
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [],
         "source": ["import sys\n", "print(6 * 7, sys.prefix)"]},
        {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": None, "outputs": [],
         "source": ["class Table:\n", "    def _repr_html_(self): return '<b>fat</b>'\n", "Table()"]},
        {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": None, "outputs": [], "source": ["1 / 0"]},
        {"cell_type": "code", "id": "d", "metadata": {}, "execution_count": None, "outputs": [],
         "source": ["print('never')"]},
    ],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip


@pytest.fixture
def project(up_python: Mapping[str, Any], tmp_path: Path) -> Iterator[Mapping[str, Any]]:
    """The shared environment with a program and a notebook in its workspace."""
    made = {"/workspace/shop.py": SHOP, "/workspace/cells.ipynb": json.dumps(NOTEBOOK)}
    for path, text in made.items():
        (tmp_path / "file").write_text(text)
        docker("cp", str(tmp_path / "file"), f"devenv-t-python:{path}")
    docker("exec", "devenv-t-python", "chown", "dev:dev", *made)
    yield up_python
    docker("exec", "devenv-t-python", "rm", *made)


@pytest.fixture
def by_name(cli: Cli, up_python: Mapping[str, Any], tmp_path: Path) -> Iterator[Mapping[str, Any]]:
    """An environment whose editor has that extension from a registry, by name, and not from the preset."""
    told = json.loads((EDITOR / "package.json").read_text())
    name, version, engine = told.pop("name"), told.pop("version"), told.pop("engines")["vscode"]
    told.pop("publisher")
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "devenv.yaml").write_text(
        "name: t-by-name\nextends: python\nextensions: [acme.python]\n"
        "files: {/opt/code-server/lib/vscode/extensions/devenv-python: null}\n"
    )
    tmp_path.chmod(0o777)
    with Registry() as registry:
        files = {path.name: path.read_text() for path in EDITOR.glob("*.js")}
        registry.add(f"acme.{name}", version, engine=engine, files=files, **told)
        cli.ok("lock", "--registry", registry.url, cwd=tmp_path)
    try:
        told = cli.ok("up", "--json", cwd=tmp_path).json()
        found = docker("exec", "devenv-t-by-name", "ls", "/opt/code-server/lib/vscode/extensions").split()
        assert [one for one in found if "python-" in one] == [f"acme.{name}-{version}"]
        yield told
    finally:
        cli("down", "--volumes", "t-by-name")


def _open(page: Page, urls: Mapping[str, str], name: str, shown: str) -> None:
    """Open a file from the explorer, again while VS Code does not know its kind yet and shows plain text."""
    page.goto(urls["ide"])
    row = page.locator(".explorer-folders-view .monaco-list-row", has_text=name)
    for _ in range(10):
        row.dblclick(timeout=60_000)
        try:
            page.locator(shown).first.wait_for(timeout=5000)
        except Late:
            _run_command(page, "View: Close All Editors")
        else:
            return
    raise AssertionError(f"{name} never opened")


@pytest.mark.parametrize("environment", ["project", "by_name"])
def test_a_python_file_completes_lints_and_debugs(page: Page, environment: str, request: pytest.FixtureRequest) -> None:
    _open(page, request.getfixturevalue(environment)["urls"], "shop.py", ".squiggly-error")
    _run_command(page, "Problems: Focus on Problems View")
    problems = page.locator(".markers-panel-container")
    for found in ("Undefined name `nowhere`", "reportArgumentType", "F401"):
        expect(problems).to_contain_text(found, timeout=30_000)

    page.locator(".editor-instance .view-line", has_text="return result").click()
    page.keyboard.press("F9")
    page.keyboard.press("F5")
    expect(page.locator(".debug-call-stack")).to_contain_text("total", timeout=60_000)
    expect(page.locator(".debug-toolbar")).to_be_visible()
    _run_command(page, "Debug Console: Focus on Debug Console View")
    page.keyboard.type("result * 1000\n")
    expect(page.locator(".repl")).to_contain_text("42000", timeout=30_000)
    page.keyboard.press("Shift+F5")
    expect(page.locator(".debug-toolbar")).not_to_be_visible(timeout=30_000)

    page.locator(".editor-instance .view-line", has_text="import json").click()
    page.keyboard.press("End")
    page.keyboard.type("\njson.JSONDec")
    expect(page.locator(".suggest-widget")).to_contain_text("JSONDecoder", timeout=30_000)


def test_a_notebook_in_the_editor_has_the_environments_kernel(page: Page, project: Mapping[str, Any]) -> None:
    _open(page, project["urls"], "cells.ipynb", ".notebook-editor .kernel-label >> text=Python (this environment)")
    _run_command(page, "Notebook: Run All")
    output = page.frame_locator(".notebook-editor iframe, iframe.webview").frame_locator("iframe").locator("body")
    expect(output).to_contain_text("42 /opt/venv", timeout=60_000)
    expect(output.locator("b")).to_have_text("fat")
    expect(output).to_contain_text("ZeroDivisionError: division by zero")
    expect(output).not_to_contain_text("never")


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
