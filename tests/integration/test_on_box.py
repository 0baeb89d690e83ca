"""`--on` a machine that SSH reaches: a loopback sshd, another user with a home of its own, connections that break."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Cli, Done, get
from tests.integration.killing import dice, kills
from tests.integration.loopbackbox import HOME, HOST, USER, Box, loopback_box
from tests.waiting import until

pytestmark = pytest.mark.engine
NAME = "t-box-env"
CUTS = kills(1)
TOP = HOME / ".local/share/devenv-remote"


@dataclasses.dataclass(frozen=True, slots=True)
class Laptop:
    """The command line of a user with a project, and the box that it works on."""

    cli: Cli
    box: Box
    project: Path

    def __call__(self, *arguments: str, cwd: Path | None = None) -> Done:
        return self.cli(arguments[0], "--on", HOST, *arguments[1:], cwd=cwd or self.project)

    def ok(self, *arguments: str) -> Done:
        done = self(*arguments)
        assert done.code == 0, done.err
        return done

    @property
    def there(self) -> Path:
        (folder,) = TOP.glob("projects/*/t-project")
        return folder

    def up(self) -> Any:
        return self.ok("up", "--name", NAME, "--json").json()

    def links(self) -> list[Path]:
        return list(Path(self.cli.env["XDG_STATE_HOME"]).glob("devenv/targets/*/*.json"))

    def keeper(self) -> int:
        (link,) = self.links()
        return int(json.loads(link.read_text())["process"].split(":")[1])


@pytest.fixture(scope="module")
def laptop(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    folder = tmp_path_factory.mktemp("laptop")
    project = folder / "t-project"
    project.mkdir()
    # The image of the shipped preset: nothing is built here.
    (project / "devenv.yaml").write_text("extends: python\nname: python\n")
    (project / ".gitignore").write_text("*.secret\n")
    (project / "own.secret").write_text("stays")
    (project / "a.txt").write_text("from here\n")
    cli.ok("build", "python")
    with loopback_box() as box:
        mine = Cli(folder / "state")
        runtime = box.folder / "runtime"
        runtime.mkdir(mode=0o700)
        mine.env |= {"PATH": box.path, "XDG_RUNTIME_DIR": str(runtime)}
        laptop = Laptop(mine, box, project)
        yield laptop
        cli("down", "--volumes", "--all-users", NAME)  # one engine serves both machines
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={next(runtime.glob('devenv/*'), runtime)}", HOST],
            env=mine.env,
            capture_output=True,
            check=False,
        )


@pytest.fixture(scope="module")
def up(laptop: Laptop) -> Any:
    """The environment, up once for all tests that only look."""
    return laptop.up()


def _page(up: Any) -> int:
    return get(up["urls"]["ide"])[0]


def test_up_brings_devenv_the_project_and_the_pages(laptop: Laptop, up: Any) -> None:
    assert up["smoke"]["passed"]
    assert _page(up) == 302
    assert (laptop.there / "a.txt").read_text() == "from here\n"
    assert not (laptop.there / "own.secret").exists()
    assert (laptop.project / "devenv.lock").exists(), "what was locked there is here, too"
    again = laptop.up()
    assert (again["untouched"], again["urls"]) == (True, up["urls"])


def test_commands_work_there(laptop: Laptop, up: Any) -> None:
    done = laptop("exec", "--name", NAME, "--", "sh", "-c", "cat; id -un; echo err >&2; exit 97")
    assert (done.code, done.out, done.err) == (97, "dev\n", "err\n")
    told = laptop.ok("status", "--json").json()
    assert (told["name"], told["urls"]) == (NAME, up["urls"])
    assert up["urls"]["ide"] in laptop.ok("status").out
    assert laptop.ok("open").out.strip() == up["urls"]["ide"]
    assert "jupyter" in laptop.ok("logs", "-n", "1").out
    (one,) = [one for one in laptop.ok("ps", "--json").json() if one["name"] == NAME]
    assert (one["own"], one["urls"]) == (True, up["urls"])
    assert laptop.ok("stop").code == 0
    assert laptop.links() == []
    assert laptop.ok("start").out.split() == [word for pair in up["urls"].items() for word in pair]
    assert _page(up) == 302


def test_nothing_new_listens_but_on_loopback(laptop: Laptop, up: Any) -> None:
    ports = {f"{int(url.split(':')[2].split('/')[0]):04X}" for url in up["urls"].values()}
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
        if line.split()[3] == "0A"
    ]
    assert {one for one in listening if one.split(":")[1] in ports} == {f"0100007F:{port}" for port in ports}
    for path in [*laptop.links(), *Path(laptop.cli.env["XDG_RUNTIME_DIR"]).glob("devenv/*")]:
        assert path.lstat().st_mode & 0o077 == 0
        assert up["urls"]["ide"].partition("token=")[2] not in (path.read_text() if path.is_file() else "")


def test_the_project_stays_the_same_on_both_sides(laptop: Laptop, up: Any) -> None:
    (laptop.project / "b.txt").write_text("new here")
    laptop.ok("exec", "--name", NAME, "--", "sh", "-c", "echo made inside > c.txt; mkdir -p d; echo x > d/e; rm a.txt")
    until(
        lambda: (
            (laptop.there / "b.txt").exists()
            and (laptop.project / "d/e").exists()
            and not (laptop.project / "a.txt").exists()
        )
    )
    assert (laptop.project / "c.txt").read_text() == "made inside\n"
    os.kill(laptop.keeper(), signal.SIGSTOP)  # both sides change while nobody looks
    (laptop.project / "c.txt").write_text("mine")
    (laptop.there / "c.txt").write_text("theirs")
    os.kill(laptop.keeper(), signal.SIGCONT)
    until((laptop.project / f"c.txt.from-{HOST}").exists)
    assert {(side / "c.txt").read_text() for side in (laptop.project, laptop.there)} == {"mine"}
    until(lambda: bool(list(laptop.links()[0].parent.glob("notes"))))
    assert "c.txt: changed on both sides" in laptop.ok("status").err


def test_a_lost_connection_comes_back_by_itself(laptop: Laptop, up: Any) -> None:
    assert laptop.box.cut() > 0
    (laptop.project / "after.txt").write_text("a cut")
    until(lambda: _answers(up) and (laptop.there / "after.txt").exists())
    laptop.box.stop()
    laptop.box.cut()
    time.sleep(1)
    assert laptop("status").code == 14
    laptop.box.start()
    until(lambda: _answers(up))
    os.kill(laptop.keeper(), signal.SIGKILL)  # as a laptop that was switched off
    assert laptop.up()["urls"] == up["urls"]
    assert _page(up) == 302


def _answers(up: Any) -> bool:
    with contextlib.suppress(OSError):
        return _page(up) == 302
    return False


def test_up_survives_every_cut(laptop: Laptop, up: Any) -> None:
    seed, moments = dice()
    began = time.monotonic()
    assert laptop.ok("up", "--name", NAME, "--fresh", "--json").json()["untouched"] is False
    whole = time.monotonic() - began
    for number in range(CUTS):
        (laptop.project / f"cut{number}").write_text(f"{seed} {number}")
        with subprocess.Popen(
            laptop.cli.command("up", "--on", HOST, "--name", NAME, "--fresh", "--json"),
            env=laptop.cli.env,
            cwd=laptop.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as one:
            time.sleep(moments.uniform(0.0, whole))
            cut = laptop.box.cut()
            _, err = one.communicate()
        assert one.returncode in (0, 14), f"seed {seed}, {number}: {err}"
        if one.returncode:
            assert err.count("error: ") == 1, err
        result = laptop.up()
        assert result["smoke"]["passed"]
        until(partial(_answers, result))
        assert (laptop.there / f"cut{number}").read_text() == f"{seed} {number}"
        print(f"{number}: {cut} connections cut; it ended with {one.returncode}")
    until(lambda: not laptop.box.processes("on-box run"))


def test_ctrl_c_ends_up_there(laptop: Laptop, up: Any) -> None:
    with subprocess.Popen(
        laptop.cli.command("up", "--on", HOST, "--name", NAME, "--fresh"),
        env=laptop.cli.env,
        cwd=laptop.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as one:
        until(lambda: bool(laptop.box.processes("--json-events")))
        time.sleep(0.5)
        one.send_signal(signal.SIGINT)
        _, err = one.communicate()
    assert one.returncode == 130, err
    assert "interrupted" in err
    until(lambda: not laptop.box.processes("--json-events"))
    assert laptop.up()["smoke"]["passed"]


@pytest.mark.parametrize("words", [("logs", "-f"), ("exec", "--name", NAME, "--", "sleep", "1000")])
def test_a_killed_client_leaves_nothing_there(laptop: Laptop, up: Any, words: tuple[str, ...]) -> None:
    with subprocess.Popen(
        laptop.cli.command(words[0], "--on", HOST, *words[1:]),
        env=laptop.cli.env,
        cwd=laptop.project,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as one:
        until(lambda: bool(laptop.box.processes("on-box guard")))
        os.killpg(one.pid, signal.SIGKILL)  # as a closed terminal does
    until(lambda: not laptop.box.processes("on-box guard"))
    until(lambda: not laptop.box.processes("devenv logs") and not laptop.box.processes("sleep 1000"))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("t-unknown", "its host key is not known yet"),
        ("t-refused", "no SSH server answers there"),
        ("t-nowhere.invalid", "its host name is unknown"),
    ],
)
def test_what_cannot_be_reached_is_one_error(laptop: Laptop, host: str, why: str) -> None:
    done = laptop.cli("up", "python", "--on", host, cwd=laptop.project)
    assert (done.code, done.err.count("error: "), done.err.count("hint: ")) == (14, 1, 1), done.err
    assert why in done.err


def test_another_laptops_project_is_not_touched(laptop: Laptop, up: Any, tmp_path: Path) -> None:
    other = Cli(tmp_path / "state")
    other.env |= {name: laptop.cli.env[name] for name in ("PATH", "XDG_RUNTIME_DIR")}
    project = tmp_path / "t-project"
    project.mkdir()
    (project / "devenv.yaml").write_text("extends: python\nname: python\n")
    done = other("up", "--on", HOST, "--name", NAME, cwd=project)
    assert done.code == 2
    assert "belongs to the project" in done.err or "another" in done.err, done.err
    assert not (laptop.project / "devenv.yaml.from-t-box").exists()


def test_a_box_that_lacks_files_gets_them_from_here(laptop: Laptop, up: Any) -> None:
    store = HOME / ".cache/devenv/store/sha256"
    before = len([path for path in store.rglob("*") if path.is_file()])
    empty = laptop.project / "empty"
    empty.mkdir()
    done = laptop("up", "--name", NAME, "--json", "--from", str(empty))
    assert done.code == 0, done.err
    after = [path for path in store.rglob("*") if path.is_file()]
    assert len(after) > before
    assert {path.owner() for path in after} == {USER}


def test_check_and_rm(laptop: Laptop, up: Any, tmp_path: Path) -> None:
    own = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert laptop.cli("targets", "add", "t-named", HOST, env=own).code == 0
    told = laptop.cli("targets", "check", "t-named", "--json", env=own).json()
    assert told["folder"] == str(TOP)
    assert told["devenv"]
    rows = laptop.cli("ps", "--json", env=own).json()
    assert ("t-named", up["urls"]) in [(one["target"], one["urls"]) for one in rows if one["name"] == NAME]
    refused = laptop.cli("targets", "rm", "t-named", env=own)
    assert (refused.code, NAME in refused.err) == (2, True)
    laptop.ok("down", "--volumes", NAME)
    assert laptop.cli("targets", "rm", "t-named", env=own).code == 0
    assert not TOP.exists()
    assert laptop.links() == []
    assert "t-named" not in laptop.cli("targets", "list", "--json", env=own).out
    assert (laptop.project / "devenv.yaml").exists()
