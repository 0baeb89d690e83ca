"""The generated reference pages are those that the code gives now, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from devenv import cli, errors
from devenv.preset import model

TOP = Path(__file__).parents[3]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", TOP / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "exit-codes.md", "preset.md"])
def test_the_committed_page_is_current(name: str, reference: ModuleType) -> None:
    page = TOP / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == reference.pages()[name], "run: make docs"


def test_a_stale_or_missing_page_is_found(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "cli.md").write_text("old")
    (tmp_path / "preset.md").write_text(reference.pages()["preset.md"])
    assert reference.stale(tmp_path) == ["cli.md", "exit-codes.md"]


def test_every_command_key_and_status_is_there(reference: ModuleType) -> None:
    pages = reference.pages()
    for name in cli._COMMANDS:
        assert f"\n## devenv {name}\n" in pages["cli.md"]
    for key in model.Preset.model_fields:
        assert f"\n| `{key}` |" in pages["preset.md"]
    for _, error in inspect.getmembers(errors, inspect.isclass):
        assert f"\n| {error.exit_code} |" in pages["exit-codes.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target} is not there"
        if anchor:
            assert anchor in _anchors(found), f"{target}: no such heading"


def _anchors(page: Path) -> set[str]:
    """A heading's anchor, as git hosts make it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
