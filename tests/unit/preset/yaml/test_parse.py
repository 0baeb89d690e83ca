"""YAML's syntax: what is taken, what is refused, and where the error points."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from devenv.errors import PresetError
from devenv.preset.yaml import parse as document
from devenv.preset.yaml.nodes import Mark, Node
from devenv.preset.yaml.problems import Problems
from devenv.preset.yaml.text import Source


def parse(text: str) -> Node:
    problems = Problems(Path("f.yaml"))
    top = document.parse(Source(Path("f.yaml"), text), problems)
    problems.check()
    return top


def mistakes(text: str) -> list[tuple[str, str]]:
    with pytest.raises(PresetError) as caught:
        parse(text)
    return [(str(one.where), one.message) for one in caught.value.problems]


def test_only_null_booleans_and_integers_are_not_text() -> None:
    text = """\
version: 3.10
yes: no
on: off
octal: 010
hex: 0x10
big: 123456789012345678901234567890
under: 1_000
date: 2024-01-01
float: 1e3
sexagesimal: 22:22
int: 42
minus: -7
zero: 0
true: True
false: false
null: ~
quoted: "42"
single: 'null'
block: |
  7
"""
    assert parse(text).plain() == {
        "version": "3.10", "yes": "no", "on": "off", "octal": "010", "hex": "0x10",
        "big": "123456789012345678901234567890", "under": "1_000", "date": "2024-01-01", "float": "1e3",
        "sexagesimal": "22:22", "int": 42, "minus": -7, "zero": 0, "true": True, "false": False, "null": None,
        "quoted": "42", "single": "null", "block": "7\n",
    }  # fmt: skip


def test_positions_of_keys_and_values() -> None:
    top = parse("a: 1\nlist:\n  - x\n  - {k: v}\n# comment\n文: 'ü'\n")
    places = {at: (node.place.line, node.place.column, node.mark.line, node.mark.column) for at, node in top.walk()}
    assert places["a",] == (1, 1, 1, 4)
    assert places["list", 0] == (3, 5, 3, 5)
    assert places["list", 1, "k"] == (4, 6, 4, 9)
    assert places["文",] == (6, 1, 6, 4)


def test_a_byte_order_mark_is_not_a_column() -> None:
    assert mistakes("a: 1\na: 2") == [("f.yaml:2:1", "'a' is given twice")]


def test_anchors_and_aliases() -> None:
    assert parse("a: &x [1, {k: v}]\nb: *x\nc: [*x, *x]").plain() == {
        "a": (1, {"k": "v"}), "b": (1, {"k": "v"}), "c": ((1, {"k": "v"}), (1, {"k": "v"})),
    }  # fmt: skip


@pytest.mark.parametrize("parser", [document._PARSER, yaml.SafeLoader])
@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('a: 1\nb: "x\nc: 2\n', "2:4", "the quote that opens here is never closed"),
        ("b: 'x", "1:4", "the quote that opens here is never closed"),
        ('a: "b\n\n---\n"', "1:4", "the quote that opens here is never closed"),
        ("a: [1, 2\nb: 3", "1:4", "the '[' that opens here is not closed properly"),
        ("a: {x: [1\n", "1:8", "the '[' that opens here is not closed properly"),
        ("a:\n  b: {x: 1\n", "2:6", "the '{' that opens here is not closed properly"),
        ("\ta: 1", "1:1", "a tab cannot indent a line"),
        ("a:\n\tb: 1", "2:1", "a tab cannot indent a line"),
        ("a:\n  b: 1\n\t c: 1", "3:1", "a tab cannot indent a line"),
        ("a: b: c", "1:5", "a ':' that cannot be here"),
        ("a: 1\nfoo\nb: 2", "2:1", "neither 'key: value' nor a part of the line above"),
        ("- a\nb: 1", "2:1", "this does not fit the list above"),
        ("a:\n  b: 1\n c: 2", "3:2", "this does not fit the mapping above"),
        ("a: @x", "1:4", "text cannot begin with '@'"),
        ("a: `x`", "1:4", "text cannot begin with '`'"),
        ("a: - b", "1:4", "a list cannot begin here"),
        ("a: ]", "1:4", "a value is missing, or begins with a sign that cannot begin one"),
        ('a: "x" y', "1:8", "this does not fit the mapping above"),
        ("a: |x\n foo", "1:5", "this block of text is indented or headed wrongly"),
        ("*", "1:2", "'*' begins an alias, which needs a name"),
        ("a: *x", "1:4", "the alias '*x' is not defined"),
        ("a: &x [*x]", "1:8", "the alias '*x' stands for a value that contains it"),
        ("&x {a: {b: *x}}", "1:12", "the alias '*x' stands for a value that contains it"),
        ("a: !x 1", "1:4", "tags such as '!x' are not supported"),
        ("a: !!str 1", "1:4", "tags such as 'tag:yaml.org,2002:str' are not supported"),
        ("a: !!python/object/apply:os.system [id]", "1:4",
         "tags such as 'tag:yaml.org,2002:python/object/apply:os.system' are not supported"),
        ("a: !u!x b", "1:4", "'!' begins a tag, and tags are not supported"),
        ("a: 1\n---\nb: 1", "2:1", "a second document begins here, but a preset is one document"),
        ("a: 1\n...\nb: 1", "3:1", "text after the end of the document"),
        ("[1]", "1:1", "a preset is a mapping of keys to values at its top"),
        ("just text", "1:1", "a preset is a mapping of keys to values at its top"),
        ("<<: {a: 1}", "1:1", "merge keys ('<<') are not supported"),
        ("? [1]\n: 2", "1:3", "a key is plain text, not a list"),
        ("a:\nb: 1", "1:1", "'a' has no value"),
        ("a: [1]\nb:\n  -\n  - 2", "3:4", "this list entry is empty"),
        ("a: '\\q'\nb: \"\\q\"", "2:", "an escape in double quotes that YAML does not know"),
        ('a: "\\0"', "1:4", "the character U+0000 cannot be in a value"),
        ('a: "\\e[31m"', "1:4", "the character U+001B cannot be in a value"),
        (("[" * 40), "1:34", "nested more than 32 deep"),
        (("[" * 100_000), "1:", "nested more than 32 deep"),  # where: libyaml 0.2.6 and newer stop on their own
        (("- " * 3000), "1:", "nested more than 32 deep"),
    ],
)  # fmt: skip
def test_syntax_errors(text: str, where: str, message: str, parser: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_PARSER", parser)
    found = mistakes(text)
    assert [one[1] for one in found] == [message]
    assert found[0][0].startswith(f"f.yaml:{where}")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n"])
def test_an_empty_file(text: str) -> None:
    assert mistakes(text) == [("f.yaml", "the file is empty")]


def test_several_mistakes_at_once() -> None:
    assert mistakes("a: 1\na: 2\nb: !t 3\nc:\n<<: 1\nd: {x: 1, x: 2}\n") == [
        ("f.yaml:2:1", "'a' is given twice"),
        ("f.yaml:3:4", "tags such as '!t' are not supported"),
        ("f.yaml:4:1", "'c' has no value"),
        ("f.yaml:5:1", "merge keys ('<<') are not supported"),
        ("f.yaml:6:11", "'x' is given twice"),
    ]


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    ((where, message),) = mistakes("\n".join(lines))
    assert (where.split(":")[1], message) == ("5", "more than 20,000 values, aliases expanded")


def test_too_many_values() -> None:
    ((_, message),) = mistakes("\n".join(f"k{n}: 1" for n in range(10_001)))
    assert message == "more than 20,000 values, aliases expanded"


def test_more_than_a_hundred_mistakes_are_counted() -> None:
    found = mistakes("a: 1\n" * 500)
    assert len(found) == 101
    assert found[-1] == ("f.yaml", "and 399 more mistakes")


def test_excerpts() -> None:
    def excerpt(text: str) -> str | None:
        with pytest.raises(PresetError) as caught:
            parse(text)
        return caught.value.problems[0].detail

    assert excerpt("x: 1\nx: 2") == "2 | x: 2\n  | ^"
    # Wide characters take two columns of a terminal.
    assert excerpt("x: {文: 1, 文: 2}") == "1 | x: {文: 1, 文: 2}\n  |            ^"
    # Long lines are cut around the place.
    long = excerpt("x: ['" + "y" * 400 + "', @]")
    assert long is not None
    line, caret = long.splitlines()
    assert len(line) < 180
    assert line[caret.index("^")] == "@"


def test_an_excerpt_shows_no_login_of_an_address() -> None:
    line = 'pip: ["a @ git+https://me:hunter2@h/a.git", x]'
    shown = Mark(path=Path("devenv.yaml"), line=3, column=line.index("x]") + 1, text=line).excerpt()
    assert "hunter2" not in shown
    first, second = shown.splitlines()
    assert second.index("^") == first.index("x]")
