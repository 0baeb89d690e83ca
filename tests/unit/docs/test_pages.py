"""The pages of docs: the files and targets that they name are there, and their English is plain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
# The changelog names files that are gone.
PAGES = sorted(
    {*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "benchmarks").rglob("*.md")} - {TOP / "CHANGELOG.md"}
)
WRITTEN_FROM_CODE = {"cli.md", "preset.md", "benchmarks.md"}
ODD = re.compile(
    r"\banew\b|\bonce more\b|\bof theirs\b|\bwhoever\b|, for (?:it|they)\b|\bhas not the\b|\ball else\b|\bis told\b|\bis said\b"
    r"|\bleft alone\b|\bleaves? the \w+ (?:alone|open)\b|\bheld to its own\b|\bgoes on\b",
    re.IGNORECASE,
)
"""What readers who are no native speakers had to read twice; house words and turns for which the field has its own."""
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
def test_functions_that_a_page_places_in_a_module_are_there(page: Path) -> None:
    """Written as: `f`, `g` in `devenv/x/y.py`."""
    for names, path in re.findall(r"((?:`[\w.]+`,? )+)in `([\w/]+\.py)`", page.read_text(encoding="utf-8")):
        module = (TOP / path).read_text(encoding="utf-8")
        for name in re.findall(r"[\w.]+", names):
            assert re.search(rf"(?:def|class) {name.rpartition('.')[2]}\b|^{name} = ", module, re.MULTILINE), (
                name,
                path,
            )


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


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in WRITTEN_FROM_CODE], ids=lambda path: str(path.relative_to(TOP))
)
def test_pages_are_in_plain_english(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [match.group() for match in ODD.finditer(" ".join(text.split()))] == []


def test_every_how_to_and_every_decision_is_in_its_index() -> None:
    for folder in ("how-to", "decisions"):
        index = (TOP / "docs" / folder / "README.md").read_text(encoding="utf-8")
        pages = {path.name for path in (TOP / "docs" / folder).glob("*.md")} - {"README.md"}
        assert pages - set(re.findall(r"\]\(([^)#]+)", index)) == set()


def test_a_decision_says_why_what_and_what_follows() -> None:
    for path in (TOP / "docs" / "decisions").glob("0*.md"):
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings[0].startswith(f"{path.name[:4]}: ")
        assert headings[1:] == ["Context", "Decision", "Consequences"]
