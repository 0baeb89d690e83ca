"""The benchmarks' own arithmetic and text: what they print can be trusted without running them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks import byhand, changes, cold, document, exporting, guard, measure, warm
from benchmarks.command import Done, FailedError
from benchmarks.measure import Series
from benchmarks.result import Goal, Result, Table, number, row

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def test_a_series_gives_median_and_range() -> None:
    series = Series(name="x", samples=(3.0, 1.0, 2.0, 10.0))
    assert (series.median, series.low, series.high) == (2.5, 1.0, 10.0)
    with pytest.raises(ValueError, match="no samples"):
        Series(name="x", samples=())


def test_a_ratio_is_taken_pair_by_pair() -> None:
    """One slow moment of the machine hits both of a pair: the ratio of medians would be 2, the pairs say 1."""
    ours, theirs = Series(name="a", samples=(1.0, 2.0, 9.0)), Series(name="b", samples=(1.0, 1.0, 9.0))
    assert measure.ratios("r", ours, theirs).samples == (1.0, 2.0, 1.0)
    assert measure.ratios("r", ours, theirs).median == 1.0
    with pytest.raises(ValueError, match="3 runs against 1"):
        measure.ratios("r", ours, Series(name="c", samples=(1.0,)))


def test_turns_alternate_who_begins_and_leave_the_warm_up_out() -> None:
    calls: list[str] = []

    def act(name: str) -> str:
        calls.append(name)
        return f"{name}{len(calls)}"

    ours, theirs = measure.alternate(2, (lambda: act("a"), lambda: act("b")), warm_up=1)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert (ours, theirs) == (("a3", "a6"), ("b4", "b5"))


def test_take_turns_keeps_each_sides_answers_in_order() -> None:
    numbers = iter(range(100))
    ours, theirs = measure.take_turns(2, lambda: next(numbers), lambda: str(next(numbers)))
    assert (ours, theirs) == ((3, 4), ("2", "5"))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.234, "s", "1.23 s"), (123.4, "s", "123 s"), (0.0456, "ms", "46 ms"), (1.149, "×", "1.15 ×")],
)
def test_numbers_for_people(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_an_unknown_unit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="unknown unit"):
        number(1.0, "h")


def test_a_goal_says_whether_it_was_met() -> None:
    assert Goal(text="t", figure=1.15, limit=1.15, unit="×").line() == "- t: 1.15 × (goal: at most 1.15 ×), met"
    assert Goal(text="t", figure=1.2, limit=1.15, unit="×").line().endswith("**not met**")


def test_a_table_is_aligned_and_escapes_bars() -> None:
    table = Table(title="T:", columns=("", "median"), rows=(("a|b", "1 s"), ("longer name", "10.25 s")))
    assert table.markdown().splitlines() == [
        "T:",
        "",
        "|             |  median |",
        "| ----------- | ------: |",
        "| a\\|b        |     1 s |",
        "| longer name | 10.25 s |",
    ]


def test_a_row_shows_the_unit_once_in_a_range() -> None:
    assert row(Series(name="x", samples=(1.0, 2.0, 4.0)), "s") == ("x", "2.00 s", "1.00–4.00 s", "3")


def test_a_result_as_markdown_and_json() -> None:
    goal = Goal(text="quick", figure=2.0, limit=1.0, unit="s")
    table = Table(title="", columns=("", "median"), rows=(("x", "1 s"),))
    result = Result(name="n", title="N", goals=(goal,), tables=(table,), remarks=("One.", "Two."), data={"k": [1]})
    text = result.markdown()
    assert text.startswith("## N\n\n- quick: 2.00 s (goal: at most 1.00 s), **not met**\n\n|")
    assert text.endswith("\n\nOne.\nTwo.")
    told = result.as_json()
    assert told["goals"][0]["met"] is False
    assert told["k"] == [1]


def test_stages_that_run_at_once_count_as_the_longest() -> None:
    report = {
        "stages": [
            {"name": "boot", "seconds": 1.0, "cached": False},
            {"name": "ready", "seconds": 2.0, "cached": False},
            {"name": "smoke", "seconds": 3.0, "cached": False},
        ],
        "services": [{"name": "ide", "seconds": 1.5}],
    }
    staged = {one.name: one.samples for one in warm.stages([report], Series(name="up", samples=(4.5,)))}
    assert staged == {"boot": (1.0,), "ready": (2.0,), "smoke": (3.0,), "service ide": (1.5,), "*the rest*": (0.5,)}


def test_a_service_by_hand_runs_its_own_command() -> None:
    jupyter = {"name": "j", "command": ["python", "-m", "lab"], "listen": None, "port": 8888, "env": [["A", "b c"]]}
    assert byhand.script(jupyter).endswith("export A='b c'; exec python -m lab")
    ide = {"name": "ide", "command": ["/lib/ide"], "listen": "unix:/run/ide.sock", "port": 8443, "env": []}
    assert "s#--socket /run/ide.sock --socket-mode [0-9]*#--bind-addr 0.0.0.0:8443#" in byhand.script(ide)


def test_the_editors_start_script_has_the_socket_that_is_swapped() -> None:
    """Started by hand, it would listen on a socket that nothing uses."""
    programs = Path(__file__).parents[2] / "templates/image/usr/local/lib/devenv"
    assert "--socket /run/devenv/ide.sock --socket-mode 0600" in (programs / "ide").read_text()
    assert "\nc.ServerApp.sock = " in (programs / "jupyter_server_config.py").read_text()
    assert "--config=/usr/local/lib/devenv/jupyter_server_config.py" in (programs / "jupyter").read_text()
    jupyter = {"name": "jupyter", "command": ["/lib/jupyter"], "listen": "unix:/run/j.sock", "port": 8888, "env": []}
    assert "c.ServerApp.ip, c.ServerApp.port = '0.0.0.0', 8888" in byhand.script(jupyter)


def test_build_steps_are_sorted_shortened_and_without_cached_ones() -> None:
    steps = [
        {"name": "[base 1/2] RUN --mount=type=bind,source=x sh /run/a.sh", "seconds": 2.0, "cached": False},
        {"name": "[base 2/2] COPY", "seconds": 5.0, "cached": True},
        *({"name": f"[s {i}/20] RUN", "seconds": 10.0 + i, "cached": False} for i in range(20)),
    ]
    rows = cold.step_table(steps).rows
    assert rows[0] == ("`[s 19/20] RUN`", "29.00 s")
    assert len(rows) == 16
    assert rows[-1] == ("6 further steps", number(sum([2.0, *(10.0 + i for i in range(5))]), "s"))
    assert not any("COPY" in name for name, _ in rows)
    assert "--mount" not in cold.step_table(steps[:1]).rows[0][0]


def test_the_stage_table_accounts_for_the_whole_time() -> None:
    table = cold.stage_table([{"name": "fetch", "seconds": 3.0}, {"name": "build", "seconds": 6.0}], 10.0, "T")
    assert table.rows[-2:] == (("*the rest*", "1.00 s", "10 %"), ("**together**", "10.00 s", ""))


def test_sections_are_replaced_and_nothing_else() -> None:
    text = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\nkept\n<!-- /b -->\n"
    assert document.replace(text, {"a": "new \\1\n"}) == text.replace("old", "new \\1")
    with pytest.raises(ValueError, match="<!-- c -->"):
        document.replace(text, {"c": "x"})


def test_the_document_has_a_place_for_every_benchmark() -> None:
    document.replace(DOCUMENT.read_text(encoding="utf-8"), dict.fromkeys(command_line.BENCHMARKS, "x"))


def test_a_document_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "d.md"
    path.write_text("<!-- a --><!-- /a -->")
    document.write(path, {"a": "new"})
    assert path.read_text() == "<!-- a -->\nnew\n<!-- /a -->"
    assert list(tmp_path.iterdir()) == [path]


def test_cold_is_never_run_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cold", "share"):
        with pytest.raises(SystemExit, match="--cold"):
            command_line.main([name])
    ran: list[str] = []

    class NoBench:
        def __init__(self, **_: object) -> None: ...
        def sweep(self) -> None: ...

    empty = Result(name="x", title="X", goals=(), tables=(), remarks=(), data={})
    monkeypatch.setattr(command_line, "Bench", NoBench)
    monkeypatch.setattr(command_line.machine, "describe", lambda: "a machine")
    everything = {name: (lambda _, n=name: ran.append(n) or empty) for name in command_line.BENCHMARKS}
    monkeypatch.setattr(command_line, "BENCHMARKS", everything)
    monkeypatch.setattr(command_line, "measurable", lambda: False)
    monkeypatch.setattr(command_line, "is_measurable", lambda: False)
    assert command_line.main(["--no-record"]) == 0
    assert ran == [
        "warm",
        "noop",
        "help",
        "render",
        "doctor",
        "rebuild",
        "fetch",
        "weights",
        "export",
        "changes",
        "memory",
    ]
    monkeypatch.setattr(command_line, "measurable", lambda: True)
    monkeypatch.setattr(command_line, "is_measurable", lambda: True)
    assert command_line.main(["--no-record"]) == 0
    assert ran[11:] == [
        "warm", "noop", "help", "render", "doctor", "rebuild", "fetch", "devcontainer", "weights", "export", "changes",
        "memory", "remote",
    ]  # fmt: skip


def test_an_export_has_two_goals_against_save() -> None:
    result = exporting._result((20.0, 30.0), (2.0, 3.0), (10.0, 15.0), (270.0, 275.0))
    assert [(goal.figure, goal.met) for goal in result.goals] == [(2.0, False), (0.2, True)]
    assert "| `docker save \\| zstd -T0`" in result.markdown()
    json.dumps(result.as_json())


def test_a_missed_goal_is_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class NoBench:
        def __init__(self, **_: object) -> None: ...
        def sweep(self) -> None: ...

    slow = Goal(text="quick", figure=2.0, limit=1.0, unit="s")
    missed = Result(name="help", title="H", goals=(slow,), tables=(), remarks=(), data={})
    monkeypatch.setattr(command_line, "Bench", NoBench)
    monkeypatch.setattr(command_line.machine, "describe", lambda: "a machine")
    monkeypatch.setattr(command_line, "BENCHMARKS", {"help": lambda _: missed})
    assert command_line.main(["help", "--no-record", "--json"]) == 1
    assert '"met": false' in capsys.readouterr().out


def _done(seconds: float) -> Done:
    report = {"stages": [{"name": "build", "seconds": seconds - 1}], "steps": [], "image": {"reference": "devenv/x:1"}}
    return Done(out=json.dumps(report), err="", seconds=seconds)


@pytest.mark.parametrize("identity", [None, {"seconds": 18.0, "cached": 1.0, "saved": 4.0, "gigabytes": 1.5}])
def test_a_cold_build_is_told_with_and_without_the_price_of_identity(identity: dict[str, float] | None) -> None:
    unchanged = Series(name="u", samples=(0.5, 0.7))
    result = cold._result(_done(30), _done(8), 100.0, unchanged, identity, (571, 600_000_000))
    assert [goal.figure for goal in result.goals] == [0.3, 0.08, 0.6]
    assert all(goal.met for goal in result.goals)
    assert ("What identity costs (1.50 GB):" in result.markdown()) == (identity is not None)
    assert ("| `devenv verify --digest`     | 18.00 s | 12.00 s |" in result.markdown()) == (identity is not None)
    json.dumps(result.as_json())


def test_identity_that_cannot_be_had_costs_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> Done:
        raise FailedError("no space")

    monkeypatch.setattr(cold, "call", fails)
    assert cold._identity(None, "devenv/x:1") is None  # type: ignore[arg-type]


def test_what_was_measured_is_recorded_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoBench:
        def __init__(self, **_: object) -> None: ...
        def sweep(self) -> None: ...

    def crashes(_: object) -> Result:
        assert "## H" in path.read_text()
        raise KeyError("a mistake of the benchmark's own")

    path = tmp_path / "benchmarks.md"
    path.write_text("<!-- help -->\n<!-- /help -->\n")
    quick = Result(name="help", title="H", goals=(), tables=(), remarks=("Quick.",), data={})
    monkeypatch.setattr(command_line, "_DOCUMENT", path)
    monkeypatch.setattr(command_line, "Bench", NoBench)
    monkeypatch.setattr(command_line.machine, "describe", lambda: "a machine")
    monkeypatch.setattr(command_line, "BENCHMARKS", {"help": lambda _: quick, "warm": crashes})
    with pytest.raises(KeyError):
        command_line.main(["help", "warm"])
    assert "Quick." in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [
    ("  ✓ read        1.4 s  62 paths\n  ✓ secrets     0.5 s  none in 3 paths\n", 0.5),
    ("  ✓ secrets  2 min 3.5 s\n", 123.5),
])  # fmt: skip
def test_the_search_for_secrets_is_taken_from_the_list_of_stages(text: str, seconds: float) -> None:
    assert changes.seconds_of_secrets(text) == seconds
    with pytest.raises(FailedError, match="no stage"):
        changes.seconds_of_secrets("  ✓ read  1.4 s")


def test_the_guard_names_what_became_slower() -> None:
    def result(*goals: Goal) -> Result:
        return Result(name="warm", title="Warm", goals=goals, tables=(), remarks=(), data={})

    ratio, seconds = Goal(text="r", figure=1.0, limit=9, unit="×"), Goal(text="t", figure=0.3, limit=9, unit="ms")
    was = guard.recorded(document.replace("<!-- warm -->x<!-- /warm -->", {"warm": result(ratio, seconds).markdown()}))
    assert was == {("warm", "r"): 1.0, ("warm", "t"): 0.3}

    def slower(one: Goal) -> list[str]:
        return guard.compare([result(one)], was)[1]

    assert slower(dataclasses.replace(ratio, figure=1.09)) == []
    assert slower(dataclasses.replace(ratio, figure=1.11)) == ["warm: r: 1.11 × (recorded 1.00 ×, +11 %)"]
    assert slower(dataclasses.replace(seconds, figure=0.4)) == [], "another machine"
    assert slower(dataclasses.replace(seconds, figure=0.5)) == ["warm: t: 500 ms (recorded 300 ms, +67 %)"]
    assert slower(dataclasses.replace(ratio, text="new", figure=99)) == []


def test_the_document_has_the_figures_that_the_guard_reads() -> None:
    names = {name for name, _ in guard.recorded(DOCUMENT.read_text())}
    assert names >= set(guard.QUICK)


def test_by_hand_only_the_workbenchs_services_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"port": 1, "health_path": "/"}
    services = [
        {"name": "ide", **common},
        {"name": "model", "role": "serve", **common},
        {"name": "both", "role": "both", **common},
    ]
    monkeypatch.setattr(byhand, "docker", lambda *_: json.dumps({"services": services}))
    smoke = {"page": {"run": ["a"], "role": "workbench"}, "answer": {"run": ["b"], "role": "serve"}}
    image = byhand.inspect("devenv/x:1", {"smoke": smoke, "shm_size": "64m"})
    assert [one["name"] for one in image.services] == ["ide", "both"]
    assert [*image.checks] == ["page"]
