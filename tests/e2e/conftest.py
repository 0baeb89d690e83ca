"""End to end: shares the integration tests' command line and environments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.portal import HOST, Portal
from tests.integration.conftest import Cli, cli, up_python, up_rapidocr

__all__ = ["cli", "up_python", "up_rapidocr"]


@pytest.fixture(scope="module")
def portal(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A reverse proxy, and behind it an environment of the `python` preset."""
    proxy = Portal(tmp_path_factory.mktemp("portal") / "tls")
    told = cli.ok("up", "python", "--name", "t-portal", "--base-path", proxy.url, "--json").json()
    proxy.urls, proxy.to = told["urls"], int(told["forward_to"].rpartition(":")[2])
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update", "--disable-sync",
                  f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--ignore-certificate-errors"],
        )  # fmt: skip
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    yield opened
    opened.screenshot(path=str(tmp_path / "last.png"))
    context.close()
