"""Three-way: nothing that one side changed is lost, and two passes are enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devenv.doors.beneath import Entry
from devenv.remote.sync.merge import beside, merge

A, B, C = (Entry(kind="f", size=1, digest=letter * 64) for letter in "abc")


def _one(base: Entry | None, here: Entry | None, there: Entry | None, path: str = "x") -> tuple[str, bool]:
    def tree(one: Entry | None) -> dict[str, Entry]:
        return {path: one} if one else {}

    found = list(merge(tree(base), tree(here), tree(there)))
    return (found[0].kind, bool(found[0].conflict)) if found else ("", False)


def test_each_case() -> None:
    assert _one(A, A, A) == ("agree", False)
    assert _one(A, A, B) == ("fetch", False)
    assert _one(A, B, A) == ("send", False)
    assert _one(A, B, B) == ("agree", False)
    assert _one(A, B, C) == ("both", True)
    assert _one(A, None, A) == ("remove there", False)
    assert _one(A, A, None) == ("remove here", False)
    assert _one(A, None, None) == ("agree", False)
    assert _one(A, None, B) == ("fetch", True)
    assert _one(A, B, None) == ("send", True)
    assert _one(None, A, None) == ("send", False)
    assert _one(None, None, A) == ("fetch", False)
    assert _one(None, A, B) == ("both", True)


def test_a_program_is_not_the_file_it_was() -> None:
    assert _one(A, A, Entry(kind="x", size=1, digest=A.digest)) == ("fetch", False)


def test_rules_about_what_leaves_this_machine_come_from_it_alone() -> None:
    for path in (".gitignore", "sub/.gitignore", ".devenvignore"):
        assert _one(A, A, B, path) == ("both", True)
        assert _one(None, None, B, path) == ("both", True)
        assert _one(A, A, None, path) == ("send", False)
        assert _one(A, B, A, path) == ("send", False)


def test_the_other_file_gets_a_free_name() -> None:
    assert beside("a/x.py", "gpu box\x1b", {}) == "a/x.py.from-gpu-box-"
    assert beside("x", "b", {"x.from-b": A, "x.from-b-2": A}) == "x.from-b-3"


_entries = st.one_of(st.none(), st.sampled_from([A, B, C]))


@given(st.dictionaries(st.sampled_from(["p", "q", "r/s"]), st.tuples(_entries, _entries, _entries)))
def test_nothing_that_was_changed_is_lost(cases: dict[str, tuple[Entry | None, Entry | None, Entry | None]]) -> None:
    base, here, there = ({path: one for path, row in cases.items() if (one := row[at])} for at in range(3))
    before = {"here": dict(here), "there": dict(there)}
    for one in merge(base, dict(here), dict(there)):
        match one.kind:
            case "send":
                assert one.here
                there[one.path] = one.here
            case "fetch":
                assert one.there
                here[one.path] = one.there
            case "remove here":
                assert here.pop(one.path) == base[one.path]
            case "remove there":
                assert there.pop(one.path) == base[one.path]
            case "both":
                assert one.here
                assert one.there
                name = beside(one.path, "box", {**here, **there})
                here[name] = there[name] = one.there
                there[one.path] = one.here
    assert here == there
    for side in before.values():
        for path, one in side.items():
            if base.get(path) != one:
                assert one in here.values(), "a change is gone"
