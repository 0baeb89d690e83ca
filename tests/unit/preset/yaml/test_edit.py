from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from devenv.preset.yaml import edit
from devenv.preset.yaml.edit import CannotEditError

_ENTRY = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,5}(==[0-9]\.[0-9])?", fullmatch=True),
    st.sampled_from(
        ["@a/b@1.0.0", "x[extra]>=1,<2", "no", "3.10", "a: b", "# c", "- d", "'q'", '"', "é", "~", "x # y", "{z}"]
    ),
)
_ENTRIES = st.lists(_ENTRY, max_size=4, unique=True)
_PAIRS = st.dictionaries(
    st.from_regex(r"/[a-z]{1,4}(/[a-z. ]{1,4})?", fullmatch=True).filter(lambda path: path == path.rstrip()),
    st.from_regex(r"files/[a-z]{1,4}", fullmatch=True), max_size=3,
)  # fmt: skip
_COMMENT = st.sampled_from(["", "  # why", " # a: b", "  # - x"])
_LINE = st.sampled_from(["", "# pip: [a]", "#  - old", "   ", "  # deeper"])
_STYLE = st.sampled_from(["block", "flat block", "flow", "flow of lines", "empty", "null", "missing", "empty flow"])


def _quoted(value: str) -> str:
    return yaml.safe_dump([value], default_flow_style=True, width=1000, allow_unicode=True).strip()[1:-1]


@st.composite
def _presets(draw: Any, entries: Any = _ENTRIES) -> tuple[str, list[str]]:
    """(a preset's text, the entries of its list `pip`), however a person may have written it."""
    values = draw(entries)
    style = draw(_STYLE)
    if not values and style in ("block", "flat block", "flow", "flow of lines"):
        style = "empty"
    comment = draw(_COMMENT)
    if style.endswith("block"):
        indent = "" if style == "flat block" else "  "
        lines = [f"pip:{comment}"]
        for value in values:
            lines += [draw(_LINE)] if draw(st.booleans()) else []
            lines.append(f"{indent}- {_quoted(value)}{draw(_COMMENT)}")
    elif style == "flow":
        lines = [f"pip: [{', '.join(map(_quoted, values))}]{comment}"]
    elif style == "flow of lines":
        lines = ["pip: [", *(f"  {_quoted(value)},{draw(_COMMENT)}" for value in values), f"]{comment}"]
    else:
        values = []
        lines = {
            "empty": [f"pip:{comment}"], "null": [f"pip: {draw(st.sampled_from(['~', 'null']))}{comment}"],
            "empty flow": [f"pip: []{comment}"], "missing": [],
        }[style]  # fmt: skip
    before = draw(st.lists(_LINE, max_size=2)) + draw(
        st.sampled_from([[], ["name: t  # mine"], ["apt:", "- git", "# end"]])
    )
    after = draw(st.lists(_LINE, max_size=2)) + draw(st.sampled_from([[], ["env:", "  A: '1'"], ["node: 24 # n", "#"]]))
    return "\n".join([*before, *lines, *after]) + draw(st.sampled_from(["", "\n"])), values


def _data(text: str) -> dict[str, Any]:
    return yaml.safe_load(text) or {}


def _others_stay(before: str, after: str) -> None:
    """Every line but those of the one list is as it was, and no comment is lost."""
    comments = [one for one in before.split("\n") if one.lstrip().startswith("#")]
    assert [one for one in after.split("\n") if one in comments] == comments
    gone = [one[2:] for one in difflib.ndiff(before.split("\n"), after.split("\n")) if one.startswith("- ")]
    for line in gone:
        assert (
            line.strip() == ""
            or "pip" in line
            or line.strip()[-1] in ",]"
            or "," in line
            or line.startswith(("-", " "))
        ), line
    rest = {key: value for key, value in _data(before).items() if key != "pip"}
    assert {key: value for key, value in _data(after).items() if key != "pip"} == rest


@given(_presets(), _ENTRIES)
def test_entries_are_added(preset: tuple[str, list[str]], new: list[str]) -> None:
    text, values = preset
    assert (_data(text).get("pip") or []) == values, "the made-up preset says what it should"
    changed = edit.add(text, "pip", new)
    assert (_data(changed).get("pip") or []) == values + new
    _others_stay(text, changed)
    if not new:
        assert changed == text


@given(_presets(_ENTRIES.filter(bool)), _ENTRY, st.data())
def test_an_entry_is_replaced_or_removed(preset: tuple[str, list[str]], new: str, data: Any) -> None:
    text, values = preset
    assume(values)
    old = data.draw(st.sampled_from(values))
    changed = edit.replace(text, "pip", old, new)
    assert _data(changed)["pip"] == [new if one == old else one for one in values]
    _others_stay(text, changed)
    changed = edit.remove(text, "pip", old)
    assert (_data(changed)["pip"] or []) == [one for one in values if one != old]
    _others_stay(text, changed)


@given(_PAIRS, _PAIRS, st.sampled_from(["block", "flow", "missing"]))
def test_pairs_are_added(old: dict[str, str], new: dict[str, str], style: str) -> None:
    new = {key: value for key, value in new.items() if key not in old}
    if style == "missing":
        old = {}
    text = "name: t # c\n" + (
        "files:\n" + "".join(f"  {key}: {value}  # why\n" for key, value in old.items()) if style == "block"
        else f"files: {{{', '.join(f'{key}: {value}' for key, value in old.items())}}}\n" if style == "flow" else ""
    )  # fmt: skip
    changed = edit.add(text + "env: {}\n", "files", new)
    assert (_data(changed).get("files") or {}) == {**old, **new}
    assert "name: t # c\n" in changed
    assert changed.count("# why") == text.count("# why")


def test_it_looks_as_a_person_would_write_it() -> None:
    text = "# mine\nextends: python\npip:\n  # first\n  - a  # why\n\napt: [git]  # more\nnpm:  # none yet\n"
    text = edit.add(text, "pip", ["b==1"])
    text = edit.add(text, "apt", ["jq"])
    text = edit.add(text, "npm", ["@x/y@1.0.0"])
    text = edit.add(text, "files", {"/a b": "f/a"})
    assert text == (
        "# mine\nextends: python\npip:\n  # first\n  - a  # why\n  - b==1\n\napt: [git, jq]  # more\n"
        "npm:  # none yet\n  - '@x/y@1.0.0'\n\nfiles:\n  /a b: f/a\n"
    )


@pytest.mark.parametrize("text", [
    "pip: &all [a]\napt: *all\n", "apt: &all [a]\npip: *all\n", "{pip: [a]}\n", "- pip\n", "pip: a\n", "pip: 3\n",
    "pip: {a: b}\n", "pip:\n  - a\npip:\n  - b\n", "pip: [a\n", "pip:\n  - |\n    a\n    b\n", "\tpip: [a]\n",
    "pip: !!python/object:os.x [a]\n", "pip: [a]\n---\npip: [b]\n", "pip:\n- a\n...\n",
])  # fmt: skip
def test_what_cannot_be_changed_line_by_line_is_refused_or_right(text: str) -> None:
    try:
        changed = edit.add(text, "pip", ["new"])
    except CannotEditError:
        return
    assert _data(changed)["pip"] == [*(_data(text).get("pip") or []), "new"]
    assert {**_data(changed), "pip": 0} == {**_data(text), "pip": 0}


def test_what_is_not_there_is_refused() -> None:
    for act in (lambda: edit.remove("pip: [a]\n", "pip", "b"), lambda: edit.replace("a: b\n", "pip", "b", "c")):
        with pytest.raises(CannotEditError, match="has no entry"):
            act()
