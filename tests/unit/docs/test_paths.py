"""What the pages name in this repository is there: files, folders, and make's targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
# The changelog tells of files that are gone.
PAGES = sorted(
    {*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "benchmarks").rglob("*.md")} - {TOP / "CHANGELOG.md"}
)
FOLDERS = ("benchmarks", "devenv", "docs", "presets", "templates", "tests", "tools")


def paths(text: str) -> Iterator[str]:
    """The paths of this repository, and all Python files, that a page names in inline code.

    `NAME` stands for any name. An image has a tag or a digest after its name, so it is no path.
    """
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", text):
        for word in code.split():
            path = re.sub(r"/?\b[A-Z]{2,}\b(?!\.md).*", "", word)
            if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", path) and (
                (path.split("/")[0] in FOLDERS and "/" in path) or path.endswith(".py")
            ):
                yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_paths_that_a_page_names_are_there(page: Path) -> None:
    assert [path for path in paths(page.read_text(encoding="utf-8")) if not (TOP / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_targets_that_a_page_names_are_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) - targets == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see `devenv/run.py` and `boot.py`", ["devenv/run.py", "boot.py"]),
        ("run `python tools/x.py --y`", ["tools/x.py"]),
        ("in `presets/NAME/preset.yaml` and `devenv/resolve/KIND.py`", ["devenv/resolve"]),
        ("the image `devenv/rapidocr:61e5`, `/opt/check.py`, `devenv up`", []),
        ("```\npython gone.py\n```", []),
    ],
)
def test_paths_are_found(text: str, found: list[str]) -> None:
    assert list(paths(text)) == found
