"""What is left out of a project's folder: git's own rules (gitignore(5)), those of `.devenvignore`, and `.git`."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from devenv.doors import files

NAMES = (".gitignore", ".devenvignore")
"""Files with rules, in any folder. The later ones count more."""
_MOST_BYTES = 1 << 20
_MOST_RULES = 5000
_ALWAYS = (".git",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a file with rules. `base`: the folder of that file, relative to the project, empty for its top;
    `above`: what stands before the project's paths, where the file lies above the project."""

    base: str
    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool
    above: str = ""

    def fits(self, path: str, *, is_folder: bool) -> bool:
        """Whether the rule speaks of that path."""
        if self.folders_only and not is_folder:
            return False
        if self.base and not path.startswith(f"{self.base}/"):
            return False
        own = path[len(self.base) + 1 :] if self.base else path
        return self.pattern.fullmatch(f"{self.above}{own}") is not None


def is_ignored(path: str, rules: Iterable[Rule], *, is_folder: bool) -> bool:
    """Whether the last rule that speaks of the path leaves it out. Its folders are the caller's matter."""
    if path.rpartition("/")[2].lower() in _ALWAYS:
        return True
    ignored = False
    for rule in rules:
        if rule.keeps == ignored and rule.fits(path, is_folder=is_folder):
            ignored = not rule.keeps
    return ignored


def parse(text: str, *, base: str = "", above: str = "") -> Iterator[Rule]:
    """The rules of a file's text."""
    for line in text.splitlines()[:_MOST_RULES]:
        rule = line.rstrip("\r")
        rule = re.sub(r"(?<!\\) +$", "", rule)
        if not rule or rule.startswith("#"):
            continue
        keeps = rule.startswith("!")
        rule = rule.removeprefix("!").removeprefix("\\") if rule[:2] in ("\\#", "\\!") else rule.removeprefix("!")
        folders_only = rule.endswith("/")
        rule = rule.rstrip("/")
        if not rule:
            continue
        anchored = "/" in rule
        try:
            pattern = re.compile(("" if anchored else "(?:.*/)?") + _regex(rule.removeprefix("/")))
        except re.error:
            continue
        yield Rule(base=base, pattern=pattern, keeps=keeps, folders_only=folders_only, above=above)


@functools.cache
def _regex(glob: str) -> str:
    """A pattern of gitignore(5) as a regular expression; `*` stays within one name."""
    out, at = "", 0
    while at < len(glob):
        rest = glob[at:]
        if rest.startswith("**/") and (at == 0 or glob[at - 1] == "/"):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif rest == "**" and glob[at - 1 : at] == "/":
            out, at = out + ".+", at + 2
        elif rest[0] == "*":
            at += len(rest) - len(rest.lstrip("*"))
            out += "[^/]*" if not out.endswith("[^/]*") else ""
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            body = rest[1:end].replace("\\", "\\\\").replace("[", "\\[")
            out, at = out + ("[^" + body[1:] if body[0] in "!^" else "[" + body) + "]", at + end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out


def around(root: Path) -> tuple[Rule, ...]:
    """The rules from outside the project's folder: of the git repository that it lies in."""
    folders = [root, *root.parents]
    top = next((number for number, one in enumerate(folders) if files.is_there(one / ".git")), None)
    if top is None:
        return ()
    rules: list[Rule] = []
    for number in range(top, -1, -1):
        above = "".join(f"{one.name}/" for one in reversed(folders[:number]))
        names = [*([".git/info/exclude"] if number == top else []), *(NAMES if number else ())]
        for name in names:
            rules += parse(text_of(folders[number] / name), above=above)
    return tuple(rules)


def text_of(path: Path) -> str:
    """A file with rules; empty where there is none that can be read."""
    try:
        return files.read(path, most_bytes=_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
