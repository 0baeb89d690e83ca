"""What `devenv up` promises, seen on the real engine with the `python` preset."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from devenv.doors.docker.local_tag import BASE_TAG, EDITOR_TAG, VERIFY_TAG
from tests.integration.conftest import Cli, docker, get
from tests.waiting import until

pytestmark = pytest.mark.engine
BOX = "devenv-t-python"


def _token(url: str) -> str:
    return url.partition("token=")[2]


def _session(url: str) -> Mapping[str, str]:
    """The headers of a page that was opened with a printed address."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as link:
        link.request("GET", f"{parts.path}?{parts.query}")
        return {"Cookie": str(link.getresponse().headers["Set-Cookie"]).partition(";")[0]}


def test_the_report_has_the_documented_keys(up_python: Mapping[str, Any]) -> None:
    assert {"name", "preset", "lock_digest", "image", "container_id", "urls", "stages", "smoke"} <= set(up_python)
    assert up_python["smoke"]["passed"] is True
    assert up_python["smoke"]["checks"], "a passed smoke test without a check says nothing"
    assert {"ide", "jupyter"} <= set(up_python["urls"])


def test_the_printed_urls_open_straight_in(up_python: Mapping[str, Any]) -> None:
    for url in up_python["urls"].values():
        status, _ = get(url)
        assert status in (200, 302)


@pytest.mark.parametrize("service", ["ide", "jupyter"])
def test_without_the_token_nothing_answers(service: str, up_python: Mapping[str, Any]) -> None:
    base = up_python["urls"][service].split("?")[0].rsplit("/lab", 1)[0].rstrip("/")
    for path in ("/", "/api/contents", "/api/terminals", "/?token=wrong", "/vscode-remote-resource?path=/etc/passwd"):
        status, body = get(base + path)
        assert status in (302, 401, 403, 404), f"{path} answered {status}"
        if status == 302:
            assert "login" in get(base + "/login")[1].lower() or service == "jupyter"
        assert "vscode-workbench" not in body
        assert "notebook_dir" not in body


def test_ports_are_bound_to_loopback_only(up_python: Mapping[str, Any]) -> None:
    bindings = json.loads(docker("inspect", BOX))[0]["NetworkSettings"]["Ports"]
    hosts = {entry["HostIp"] for entries in bindings.values() for entry in entries or ()}
    assert hosts == {"127.0.0.1"}


def test_the_token_is_nowhere_but_in_its_file(up_python: Mapping[str, Any], cli: Cli) -> None:
    token = _token(up_python["urls"]["jupyter"])
    assert len(token) >= 40
    get(up_python["urls"]["ide"])
    get(up_python["urls"]["jupyter"])
    image = up_python["image"]["id"]
    for place, text in {
        "inspect": docker("inspect", BOX),
        "image": docker("image", "inspect", image) + docker("history", "--no-trunc", image),
        "docker logs": docker("logs", BOX),
        "process list": docker("exec", "-u", "root", BOX, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
        "service logs": cli.ok("logs", "t-python").out,
        "written layer": docker(
            "exec", "-u", "root", BOX, "sh", "-c", f"grep -rlF -e {token} /etc /var /home /opt/venv /tmp || true"
        ),
    }.items():
        assert token not in text, f"the token shows in: {place}"
        assert place != "written layer" or not text.strip(), text


def test_inside_one_is_the_host_user_and_may_sudo(cli: Cli) -> None:
    uid = os.getuid() or 1000
    gid = os.getgid() or 1000
    out = cli.ok(
        "exec", "--name", "t-python", "sh", "-c", "id -u; id -g; sudo -n id -u; touch /workspace/x /mnt/t-python/x; pwd"
    ).out
    assert out.split() == [str(uid), str(gid), "0", "/workspace"]


def test_services_run_as_the_user(up_python: Mapping[str, Any]) -> None:
    rows = docker("exec", BOX, "ps", "-eo", "user:20,args", "--no-headers").splitlines()
    served = [row for row in rows if "code-server" in row or "jupyter" in row or "nginx" in row]
    assert len(served) >= 3
    assert {row.split()[0] for row in served} == {"dev"}


def test_shared_memory_is_enough_for_data_loaders(up_python: Mapping[str, Any]) -> None:
    size = docker("exec", BOX, "df", "-B1", "--output=size", "/dev/shm").split()[1]
    assert int(size) >= 2 * 1024**3


def test_kernels_end_before_servers_when_memory_does(up_python: Mapping[str, Any], cli: Cli) -> None:
    code = (
        "from jupyter_client.manager import start_new_kernel as start; m, c = start(); "
        "c.execute_interactive('print(open(\"/proc/self/oom_score_adj\").read())'); m.shutdown_kernel(now=True)"
    )
    told = cli.ok("exec", "--name", "t-python", "/opt/venv/bin/python", "-c", code).out
    assert int(told.split()[-1]) > int(
        docker("exec", BOX, "sh", "-c", "cat /proc/$(pgrep -o -f lib/devenv/jupyter)/oom_score_adj")
    )


def test_up_again_changes_nothing(up_python: Mapping[str, Any], cli: Cli) -> None:
    again = cli.ok("up", "python", "--name", "t-python", "--json")
    told = again.json()
    assert told["untouched"] is True
    assert told["urls"] == up_python["urls"]
    assert told["container_id"] == up_python["container_id"]


def test_events_come_as_lines_and_end_with_the_result_or_the_error(up_python: Mapping[str, Any], cli: Cli) -> None:
    told = [json.loads(line) for line in cli.ok("up", "python", "--name", "t-python", "--json-events").out.splitlines()]
    assert {"event": "stage", "stage": "preset", "state": "started"} in told
    assert {key: told[-1][key] for key in ("event", "urls", "untouched")} == {
        "event": "result", "urls": up_python["urls"], "untouched": True,
    }  # fmt: skip
    failed = cli("up", "python", "--name", "t-python", "--gpu-mode", "cdi", "--gpus", "all", "--json-events")
    last = json.loads(failed.out.splitlines()[-1])
    assert (last["event"], last["exit_status"]) == ("error", failed.code)
    assert failed.code != 0


def test_a_service_that_dies_is_restarted(up_python: Mapping[str, Any], cli: Cli) -> None:
    docker("exec", "-u", "root", BOX, "pkill", "-9", "-f", "jupyter")
    url = up_python["urls"]["jupyter"]
    status = f"{url.rpartition('/lab?')[0]}/api/status"
    time.sleep(0.5)
    until(lambda: get(status, {"Authorization": f"Bearer {_token(url)}"})[0] == 200)
    assert cli.ok("status", "t-python", "--json").json()["services"]["jupyter"] == "ready"


def test_ps_and_status_and_logs_tell_of_it(up_python: Mapping[str, Any], cli: Cli) -> None:
    rows = cli.ok("ps", "--json").json()
    assert "t-python" in {row["name"] for row in rows}
    status = cli.ok("status", "t-python", "--json").json()
    assert status["services"] == dict.fromkeys(status["services"], "ready")
    assert status["memory_bytes"] > 10_000_000
    assert cli.ok("logs", "t-python", "jupyter").out.strip()


def test_exec_passes_the_exit_status_on(cli: Cli, up_python: Mapping[str, Any]) -> None:
    assert cli("exec", "--name", "t-python", "sh", "-c", "exit 37").code == 37


def test_smoke_again(cli: Cli, up_python: Mapping[str, Any]) -> None:
    assert cli.ok("smoke", "t-python", "--json").json()["passed"] is True


def test_another_environment_of_the_same_preset_lives_beside_it(cli: Cli, up_python: Mapping[str, Any]) -> None:
    other = cli.ok("up", "python", "--name", "t-other", "--json").json()
    try:
        assert set(other["urls"].values()).isdisjoint(up_python["urls"].values())
        ours = [get(url)[0] for url in up_python["urls"].values()]
        assert all(status in (200, 302) for status in ours)
        wrong = other["urls"]["jupyter"].partition("?")[0] + "?token=" + _token(up_python["urls"]["jupyter"])
        assert get(wrong.replace("/lab", "/api/contents"))[0] == 401
        # Not even a service that asks for no token.
        address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", BOX).strip()
        reach = f"import socket; socket.create_connection(('{address}', 8443), 2)"
        docker("exec", BOX, "devenv-exec", "python", "-c", reach)
        neighbour = cli("exec", "t-other", "--", "python", "-c", reach)
        assert neighbour.code != 0
        assert "Error" in neighbour.err
    finally:
        cli.ok("down", "--volumes", "t-other")
    assert "t-other" not in docker("network", "ls")


def test_stop_kills_nothing_and_start_keeps_ports_and_files(cli: Cli, tmp_path: Path) -> None:
    first = cli.ok("up", "python", "--name", "t-stop", "--json").json()
    session = _session(first["urls"]["ide"])
    page = first["urls"]["ide"].partition("?")[0] + "?folder=/workspace"
    try:
        cli.ok("exec", "--name", "t-stop", "sh", "-c", "echo kept > ~/note; echo kept > /mnt/t-stop/note")
        docker("stop", "devenv-t-stop")
        code = json.loads(docker("inspect", "devenv-t-stop"))[0]["State"]["ExitCode"]
        assert code != 137, "it was killed, not stopped"
        assert "jupyter" in cli.ok("logs", "t-stop", "jupyter").out.lower(), "logs of a stopped environment"
        docker("network", "rm", "devenv-t-stop")  # as 'docker network prune' does
        started = cli.ok("start", "t-stop", "--json").json()
        assert started["urls"] == first["urls"]
        assert get(page, session)[0] == 200, "open pages stay logged in"
        assert cli.ok("exec", "--name", "t-stop", "cat", "/home/dev/note").out == "kept\n"
        cli.ok("down", "t-stop")
        again = cli.ok("up", "python", "--name", "t-stop", "--json").json()
        assert again["urls"] == first["urls"], "ports and token are the environment's for its life"
        assert get(page, session)[0] == 401, "but another program may have had the port, and the cookies, meanwhile"
        session = _session(again["urls"]["ide"])
        cli.ok("stop", "t-stop")
        cli.ok("start", "t-stop")
        assert get(page, session)[0] == 401
        session = _session(again["urls"]["ide"])
        assert cli.ok("exec", "--name", "t-stop", "cat", "/mnt/t-stop/note").out == "kept\n", "the volume survived down"
        anew = cli.ok("up", "python", "--name", "t-stop", "--new-token", "--json").json()
        assert anew["container_id"] == again["container_id"]
        assert get(anew["urls"]["ide"])[0] in (200, 302)
        assert get(again["urls"]["ide"])[0] == 401, "the old token opens nothing"
        assert get(page, session)[0] == 401, "and what was opened with it neither"
        assert get(page, _session(anew["urls"]["ide"]))[0] == 200
        assert cli.ok("exec", "--name", "t-stop", "cat", "/mnt/t-stop/note").out == "kept\n"
        (token,) = (Path(cli.env["XDG_STATE_HOME"]) / "devenv" / "envs" / "t-stop" / "host").glob("token")
        for text, words in (("", "the file is empty"), ("changed\n", "another token")):
            token.write_text(text)
            for command in (("up", "python", "--name"), ("open",), ("start",)):
                wrong = cli(*command, "t-stop")
                assert wrong.code == 9
                assert str(token) in wrong.err
                assert words in wrong.err
        cli.ok("down", "t-stop")
        other = cli("up", "python", "--name", "t-stop", "--workspace", str(tmp_path))
        assert other.code == 2, "another project does not get what this one left"
        assert "--take-over" in other.err
    finally:
        cli.ok("down", "--volumes", "t-stop")
    assert "t-stop" not in docker("volume", "ls", "-q")


def test_what_is_paused_goes_on(cli: Cli) -> None:
    up = ("up", "python", "--name", "t-paused", "--json")
    first = cli.ok(*up).json()
    try:
        docker("pause", "devenv-t-paused")
        refused = cli("exec", "--name", "t-paused", "true")
        assert refused.code == 9
        assert "devenv start t-paused" in refused.err
        assert "devenv start t-paused" in cli.ok("status", "t-paused").out
        again = cli.ok(*up)
        assert "devenv resumes it" in again.err
        assert again.json()["untouched"] is True
        docker("pause", "devenv-t-paused")
        assert cli.ok("start", "t-paused", "--json").json()["urls"] == first["urls"]
        docker("pause", "devenv-t-paused")
        cli.ok("stop", "t-paused")
        assert json.loads(docker("inspect", "devenv-t-paused"))[0]["State"]["ExitCode"] == 0, "stopped, not killed"
    finally:
        cli.ok("down", "--volumes", "t-paused")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "t-project"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def _write(project: Path, text: str) -> None:
    (project / "devenv.yaml").write_text("extends: python\nname: t-project\nsmoke:\n  kernel: null\n" + text)


def test_a_project_is_mounted_locked_and_replaced_when_it_changes(cli: Cli, project: Path) -> None:
    (project / "hello.txt").write_text("from the host\n")
    same = "timezone: Asia/Tokyo\nsetup:\n  zone: {run: [sh, -c, 'env -u TZ date +%Z >> zone; echo words; exit $(cat end)']}\n"
    same += "  user: {run: [sh, -c, 'id -un >> user'], once: container}\n"
    (project / "end").write_text("3\n")
    _write(project, f"{same}env:\n  COLOUR: green\n")
    try:
        failed = cli("up", cwd=project)
        assert failed.code == 9
        assert "setup step 'zone' ended with status 3" in failed.err
        assert "words" in failed.err
        (project / "end").write_text("0\n")
        first = cli.ok("up", "--json", cwd=project)
        assert [one["cached"] for one in first.json()["stages"] if one["name"] == "setup"] == [False]
        assert (project / "zone").read_text() == "JST\nJST\n", "failed, and once more"
        assert (project / "devenv.lock").exists(), "a user's preset locks by itself the first time"
        assert cli.ok("exec", "cat", "hello.txt", cwd=project).out == "from the host\n"
        cli.ok("exec", "sh", "-c", "echo kept > /mnt/t-project/note; echo back > made.txt", cwd=project)
        assert (project / "made.txt").read_text() == "back\n"
        assert (project / "made.txt").stat().st_uid == project.stat().st_uid
        lock = (project / "devenv.lock").read_bytes()
        _write(project, f"{same}env:\n  COLOUR: red\n")
        second = cli.ok("up", "--json", cwd=project)
        assert "replaced" in second.err
        assert second.json()["container_id"] != first.json()["container_id"]
        assert second.json()["urls"] == first.json()["urls"]
        assert cli.ok("exec", "printenv", "COLOUR", cwd=project).out == "red\n"
        assert (project / "zone").read_text() == "JST\nJST\n", "done, in an earlier container"
        assert (project / "user").read_text() == "dev\ndev\n", "in each container"
        assert cli.ok("exec", "cat", "/mnt/t-project/note", cwd=project).out == "kept\n"
        assert (project / "devenv.lock").read_bytes() == lock, "nothing that is locked changed"
        _write(project, f"{same}env:\n  COLOUR: red\npip:\n  - tomli==2.0.1\n")
        stale = cli("up", cwd=project)
        assert stale.code == 4
        assert "tomli" in stale.err
        assert "devenv lock" in stale.err
    finally:
        cli("down", "--volumes", "t-project")


def test_git_works_in_a_worktree_and_knows_who_commits(cli: Cli, tmp_path: Path) -> None:
    def git(*arguments: str, cwd: Path) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "safe.directory=*", *arguments]
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()

    main, tree, config = tmp_path / "main", tmp_path / "tree", tmp_path / "gitconfig"
    git("init", "-q", str(main), cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=main)
    git("worktree", "add", "-q", str(tree), cwd=main)
    _write(tree, "")
    config.write_text("[user]\n\tname = Ann Lee\n\temail = ann@x\n[alias]\n\tmine = status\n")
    for path in (main, *main.rglob("*"), tree, *tree.rglob("*")):
        os.chown(path, os.getuid() or 1000, os.getgid() or 1000)
    mine = copy.copy(cli)
    mine.env = {**cli.env, "GIT_CONFIG_GLOBAL": str(config)}
    try:
        assert "warning" not in mine.ok("up", cwd=tree).err
        mine.ok("exec", "git", "commit", "-q", "--allow-empty", "-m", "inside", cwd=tree)
        mine.ok("exec", "git", "worktree", "prune", cwd=tree)
        assert mine("exec", "git", "config", "alias.mine", cwd=tree).code == 1, "no other setting of the user's"
        mine.ok("exec", "sudo", "chown", "root", "/workspace", cwd=tree)
        mine.ok("exec", "git", "status", cwd=tree)
    finally:
        mine("down", "--volumes", "t-project")
    assert git("log", "-1", "--format=%an <%ae> %s", cwd=tree) == "Ann Lee <ann@x> inside", "seen on the host, too"


def test_git_in_a_submodule_is_said_not_to_work(cli: Cli, project: Path) -> None:
    (project / ".git").write_text("gitdir: ../.git/modules/sub\n")
    _write(project, "")
    try:
        done = cli.ok("up", cwd=project)
        assert "git will not work" in done.err
        assert "submodule" in done.err
    finally:
        cli("down", "--volumes", "t-project")


def test_a_service_that_fails_is_one_clear_error_and_not_waited_for(cli: Cli, project: Path) -> None:
    _write(
        project,
        "services:\n  broken:\n"
        "    command: [sh, -c, 'echo I cannot find my shoes >&2; echo died >> /workspace/deaths; exit 3']\n"
        "    port: 7777\n    auth: none\n    health: {path: /}\n    timeout_s: 300\n",
    )
    try:
        done = cli("up", cwd=project)
        assert done.code == 9, done.err
        assert "broken" in done.err
        assert "exit status 3" in done.err
        assert "I cannot find my shoes" in done.err
        # runit restarts it every second: it did not go on to die for all of its 300 s.
        assert (project / "deaths").read_text().count("died") < 60
        assert "Traceback" not in done.err
    finally:
        cli("down", "--volumes", "t-project")


def test_a_failing_smoke_test_is_exit_10_and_leaves_it_up(cli: Cli, project: Path) -> None:
    _write(project, "  wrong:\n    run: [python, -c, 'import sys; print(\"the text is blurred\"); sys.exit(1)']\n")
    try:
        done = cli("up", "--json", cwd=project)
        assert done.code == 10
        assert done.json()["smoke"]["passed"] is False
        assert "the text is blurred" in done.err
        assert cli.ok("exec", "true", cwd=project).code == 0
        assert cli("up", "--json", cwd=project).code == 10, "a failed smoke test is not remembered as passed"
    finally:
        cli("down", "--volumes", "t-project")


def test_a_port_that_another_program_took_is_named(cli: Cli, project: Path) -> None:
    _write(project, "")
    try:
        first = cli.ok("up", "--json", cwd=project).json()
        cli.ok("down", "t-project")
        port = int(first["urls"]["ide"].split(":")[2].split("/")[0])
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            done = cli("up", cwd=project)
        assert done.code == 9
        assert str(port) in done.err
        assert "hint:" in done.err
        cli.ok("up", "--json", cwd=project)
    finally:
        cli("down", "--volumes", "t-project")


def test_stop_lets_a_service_finish(cli: Cli, project: Path) -> None:
    script = "trap 'sleep 1; echo saved > /workspace/saved; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    _write(project, f"services:\n  database:\n    command: [sh, -c, {json.dumps(script)}]\n")
    try:
        cli.ok("up", "--json", cwd=project)
        time.sleep(1)
        cli.ok("stop", "t-project")
        assert docker("inspect", "-f", "{{.State.ExitCode}}", "devenv-t-project").strip() != "137", "killed"
        assert (project / "saved").read_text() == "saved\n", "it was killed before it had saved"
    finally:
        cli("down", "--volumes", "t-project")


def test_a_preset_without_services_boots(cli: Cli, project: Path) -> None:
    (project / "devenv.yaml").write_text(
        "extends: python\nname: t-project\ncode_server: null\njupyter: null\nnode: null\nnpm: null\nsmoke:\n"
        "  kernel: null\n  python:\n    run: [python, -c, 'print(42)']\n"
    )
    try:
        told = cli.ok("up", "--json", cwd=project).json()
        assert told["urls"] == {}
        assert told["smoke"]["passed"] is True
    finally:
        cli("down", "--volumes", "t-project")


def test_own_services_ask_for_the_token_and_the_models_runs_where_it_is_asked_for(cli: Cli, project: Path) -> None:
    name = "a-service-with-a-name-of-forty-character"
    assert len(name) == 40
    _write(
        project,
        "  served: {role: serve, run: [curl, --fail, --silent, --noproxy, '*', http://127.0.0.1:9011]}\n"
        f"services:\n  {name}:\n    command: [python, -m, http.server, --bind, 127.0.0.1, '9001']\n"
        "    port: 9000\n    listen: 127.0.0.1:9001\n"
        "  model:\n    role: serve\n    command: [python, -m, http.server, --bind, 127.0.0.1, '9011']\n"
        "    port: 9010\n    listen: 127.0.0.1:9011\n",
    )
    try:
        told = cli.ok("up", "--json", cwd=project).json()
        url = told["urls"][name]
        assert get(url)[0] == 302
        assert get(url.partition("?")[0])[0] == 401
        token = url.partition("token=")[2]
        assert "devenv.yaml" in get(url.partition("?")[0], {"Authorization": f"Bearer {token}"})[1]
        _serves(cli, project, told)
    finally:
        cli("down", "--volumes", "t-project")


def _serves(cli: Cli, project: Path, bench: Mapping[str, Any]) -> None:
    """The environment again, from the same image, with the model's service alone, and back."""
    done = cli.ok("up", "--json", "--role", "serve", cwd=project)
    told, box = done.json(), "devenv-t-project"
    assert "its role changes from workbench to serve" in done.err
    assert (told["role"], told["image"], list(told["urls"])) == ("serve", bench["image"], ["model"])
    assert [check["name"] for check in told["smoke"]["checks"]] == ["served"]
    assert docker("exec", box, "ls", "/run/devenv/sv").split() == ["gateway", "model"]
    assert docker("port", box).splitlines() == [f"9010/tcp -> {told['urls']['model'].split('/')[2]}"]
    cli.ok("restart", "t-project", "model")
    until(lambda: docker("inspect", "-f", "{{.State.Health.Status}}", box).strip() == "healthy")
    assert [one["role"] for one in cli.ok("ps", "--json").json() if one["name"] == "t-project"] == ["serve"]
    docker("exec", box, "sv", "down", "/run/devenv/sv/model")
    check = "/usr/local/lib/devenv/healthy || echo status $?"
    until(lambda: docker("exec", box, "sh", "-c", check) == "model: HTTP 502\nstatus 1\n")
    (project / "folder").mkdir()
    back = cli.ok("up", "--json", "--base-path", "/team/box", cwd=project)
    assert "its role changes from serve to workbench" in back.err
    name, entry = next(name for name in bench["urls"] if name.startswith("a-service")), back.json()["forward_to"]
    url = bench["urls"][name]
    assert docker("port", box, "9000").strip() == url.split("/")[2], "it kept its ports"
    assert back.json()["urls"][name] == f"{entry}/team/box/{name}/{url.rpartition('/')[2]}"
    with contextlib.closing(http.client.HTTPConnection(entry.removeprefix("http://"), timeout=10)) as link:
        link.request("GET", f"/{name}/folder", headers={"Authorization": f"Bearer {url.partition('token=')[2]}"})
        assert link.getresponse().headers["Location"] == f"/team/box/{name}/folder/"


def test_nothing_of_ours_stays_running_inside(cli: Cli, up_python: Mapping[str, Any]) -> None:
    def inside() -> Counter[str]:
        return Counter(docker("exec", BOX, "ps", "-eo", "args").splitlines())

    before = inside()
    follower = subprocess.Popen(
        cli.command("logs", "t-python", "jupyter", "-f"), env=cli.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stdout is not None
    assert follower.stdout.readline().strip(), "it follows at once"
    assert "tail -n" in docker("exec", BOX, "ps", "-eo", "args")
    follower.kill()
    follower.communicate()
    until(lambda: inside() <= before)


def test_another_users_environment_is_not_taken_over(cli: Cli, up_python: Mapping[str, Any], tmp_path: Path) -> None:
    other = {"XDG_STATE_HOME": str(tmp_path)}
    done = cli("up", "python", "--name", "t-python", env=other)
    assert done.code == 2
    assert "another user's" in done.err
    row = next(one for one in cli("ps", "--json", env=other).json() if one["name"] == "t-python")
    assert "TOKEN" in row["urls"]["ide"], "the token of someone else is not known here, and none is made up"
    assert not (tmp_path / "devenv" / "envs" / "t-python" / "host" / "token").exists()


def test_no_command_acts_on_another_users_environment(cli: Cli, up_python: Mapping[str, Any], tmp_path: Path) -> None:
    other = {"XDG_STATE_HOME": str(tmp_path)}
    commands = (
        ("down", "--volumes", "t-python"), ("stop", "t-python"), ("start", "t-python"), ("open", "t-python"),
        ("exec", "--name", "t-python", "true"), ("logs", "t-python"),
    )  # fmt: skip
    for command in commands:
        done = cli(*command, env=other)
        assert done.code == 2, command
        assert "another user's" in done.err
    assert cli("exec", "--name", "t-python", "--all-users", "id", "-un", env=other).out == "dev\n"
    assert docker("inspect", "-f", "{{.Id}} {{.State.Status}}", BOX).split() == [up_python["container_id"], "running"]
    assert not list(tmp_path.rglob("token"))


def test_what_devenv_did_not_make_is_marked_and_left_alone(cli: Cli, up_python: Mapping[str, Any]) -> None:
    image = up_python["image"]["id"]
    labels = {
        "t-label-own": {"name": "t-python", "services": "garbage"},
        "t-label-path": {"name": "../../etc", "preset": "\x1b]0;owned\x07", "project": "/a\n\x1b[1A/b"},
        "devenv-t-label": {"name": "t-label", "services": "[]", "smoke": "[]", "ports": "[]"},
    }
    try:
        for name, pairs in labels.items():
            options = [f"--label=dev.devenv.{key}={value}" for key, value in pairs.items()]
            docker("create", "--name", name, *options, image)
        table = cli.ok("ps").out
        assert "\x1b" not in table
        assert table.count("unreadable") == 3
        rows = {row["name"]: row for row in cli.ok("ps", "--json").json()}
        assert rows["t-label-path"]["preset"] == "\x1b]0;owned\x07"
        assert rows["t-python"]["unreadable"] is None
        for name in ("t-label-own", "t-label-path", "t-label"):
            for command in (("stop",), ("status",), ("down", "--volumes", "--all-users")):
                done = cli(*command, name)
                assert done.code == 2, (command, name)
                assert "devenv did not make the container" in done.err
    finally:
        docker("rm", "--force", *labels)


def test_a_log_commands_no_terminal(cli: Cli, up_python: Mapping[str, Any]) -> None:
    script = r"printf '\033]0;owned\007\033[31mred\033[0m\r\n' >> /var/log/devenv/gateway/current"
    docker("exec", "-u", "root", BOX, "sh", "-c", script)
    assert cli.ok("logs", "t-python", "gateway", "-n", "1").out == "\\x1b]0;owned\\x07red\n"
    follower = subprocess.Popen(
        cli.command("logs", "t-python", "gateway", "-f", "-n", "1"), env=cli.env, stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    assert follower.stdout.readline() == "\\x1b]0;owned\\x07red\n"
    follower.terminate()
    follower.communicate()


def test_prune_removes_what_nothing_uses_and_nothing_else(
    cli: Cli, up_python: Mapping[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL t=prune\n")
    made = {
        "devenv/t-prune:1": "a", "t-prune-own:1": "b", f"{BASE_TAG}t-named": "b", f"{BASE_TAG}t-alone": "c",
        "devenv/t-prune:2": "d", f"{BASE_TAG}t-last": "d", f"{VERIFY_TAG}t-left": "e",
    }  # fmt: skip
    for tag, word in made.items():
        subprocess.run(
            ["docker", "buildx", "build", "-q", "--load", "-t", tag, "--label", f"t={word}", str(tmp_path)], check=True
        )
    planned = cli.ok("prune", "--all-users", "--dry-run", "--json").json()
    without = cli.ok("prune", "--json").json()
    told = cli.ok("prune", "--all-users", "--json").json()
    try:
        assert not made.keys() & set(without["images"]), "nothing says that this user's devenv made them"
        assert made.keys() & set(without["others"]) == made.keys() & set(told["images"])
        assert made.keys() & set(planned["images"]) == made.keys() & set(told["images"])
        # A base that came from no registry keeps its last tag: it could not be had again.
        assert made.keys() & set(told["images"]) == {
            "devenv/t-prune:1", "devenv/t-prune:2", f"{BASE_TAG}t-named", f"{VERIFY_TAG}t-left",
        }  # fmt: skip
    finally:
        docker("image", "rm", "t-prune-own:1", f"{BASE_TAG}t-alone", f"{BASE_TAG}t-last")
    assert not [tag for tag in told["images"] if tag.startswith(EDITOR_TAG)]
    assert up_python["image"]["reference"] not in told["images"]
    assert cli.ok("up", "python", "--name", "t-python", "--json").json()["untouched"] is True


def test_two_at_once_build_and_boot_once(cli: Cli, project: Path) -> None:
    _write(project, "env:\n  TWICE: '1'\n")
    try:
        runs = [
            subprocess.Popen(
                cli.command("up", "--json"),
                env=cli.env,
                cwd=project,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        outs = [one.communicate(timeout=600) for one in runs]
        assert [one.returncode for one in runs] == [0, 0], outs
        told = [json.loads(out) for out, _ in outs]
        assert told[0]["container_id"] == told[1]["container_id"]
        assert sorted(one["untouched"] for one in told) == [False, True]
    finally:
        cli("down", "--volumes", "t-project")


def test_without_an_engine_there_is_one_clear_error(cli: Cli, tmp_path: Path) -> None:
    done = cli("up", "python", env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert done.code == 6
    assert "no Docker Engine answers" in done.err
    assert "hint:" in done.err
    assert "Traceback" not in done.err


def test_without_buildx_there_is_one_clear_error(cli: Cli, tmp_path: Path, project: Path) -> None:
    _write(project, "env:\n  NEVER: built\n")
    shim = tmp_path / "bin" / "docker"
    shim.parent.mkdir()
    real = shutil.which("docker")
    shim.write_text(
        f'#!/bin/sh\nif [ "$1" = buildx ]; then echo "not a docker command" >&2; exit 1; fi\nexec {real} "$@"\n'
    )
    shim.chmod(0o755)
    done = cli("build", cwd=project, env={"PATH": f"{shim.parent}:{os.environ['PATH']}"})
    assert done.code == 6
    assert "buildx" in done.err
