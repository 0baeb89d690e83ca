"""Push and pull: an image to a registry and back, with devenv and with `docker push` and `docker pull`."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cold import forget_images
from benchmarks.command import PREFIX, Bench, FailedError, call, docker, remove_images, tell
from benchmarks.measure import Series, ratios, take_turns
from benchmarks.result import Goal, Result, row, table

_NAME = f"{PREFIX}share"
_ROUNDS = 3
_MAX_PUSH, _MAX_PULL, _MAX_MORE = 0.5, 0.8, 1.1


def sharing(bench: Bench) -> Result:
    """A registry of docker's on this machine's loopback, empty in each round; an image of its own in each, because
    builder and engine know those that they have read. Before a pull all of devenv's images are removed, and the
    builder's cache, because the engine takes no layer that the builder still has."""
    project = bench.folder / "share"
    project.mkdir()

    def ours() -> tuple[float, float, float, float]:
        cache = bench.folder / "cache"
        with registry(bench.folder / "registry") as host:
            reference, env = f"{host}/team/share:1", {"XDG_CACHE_HOME": str(cache)}
            _make(bench, project)
            shutil.rmtree(cache, ignore_errors=True)  # with the layers of the last round
            pushed = bench.devenv("push", str(project), reference, "--json", env=env)
            _make(bench, project, "pip: [cowsay==6.1]")
            more = bench.devenv("push", str(project), reference, "--json", env=env)
            layer = _layer_bytes(bench.folder / "registry")
            shutil.rmtree(cache)
            forget_images()
            pulled = bench.devenv("pull", reference, env=env).seconds
            remove_images(f"devenv/{_NAME}")
        tell(f"    devenv   push {pushed.seconds:.2f} s, pull {pulled:.2f} s")
        return pushed.seconds, pulled, more.json()["sent"], layer

    def theirs() -> tuple[float, float]:
        with registry(bench.folder / "registry") as host:
            image = _make(bench, project)
            tag = f"{host}/team/docker:1"
            docker("tag", image, tag)
            pushed = call("docker", "push", "-q", tag).seconds
            docker("rmi", tag)
            forget_images()
            pulled = call("docker", "pull", "-q", tag).seconds
            docker("rmi", tag)
        tell(f"    docker   push {pushed:.2f} s, pull {pulled:.2f} s")
        return pushed, pulled

    try:
        mine, plain = take_turns(min(bench.rounds, _ROUNDS), ours, theirs)
    finally:
        remove_images(f"devenv/{_NAME}")
    return _result(bench.shared, mine, plain)


def _make(bench: Bench, project: Path, more: str = "") -> str:
    """The tag of an image that nobody has read yet; with `more` in its preset, of the image of before with that."""
    place = project / "devenv.yaml"
    text = (
        place.read_text()
        if more
        else f"extends: {bench.shared}\nname: {_NAME}\nenv: {{ROUND: '{secrets.token_hex(8)}'}}\n"
    )
    place.write_text(f"{text}{more}\n", encoding="utf-8")
    bench.devenv("lock", cwd=project)
    return bench.devenv("build", cwd=project).out.strip()


def _layer_bytes(storage: Path) -> float:
    """The bytes that a push of one more package has to send: of the layers that the first manifest lacks."""
    blobs = storage / "docker/registry/v2/blobs/sha256"
    found = []
    for data in sorted(blobs.glob("*/*/data"), key=lambda path: path.stat().st_mtime):
        if data.stat().st_size < 100_000 and data.read_bytes()[:1] == b"{":
            told = json.loads(data.read_bytes())
            if isinstance(told, dict) and told.get("layers") and "subject" not in told:
                found.append({one["digest"]: one["size"] for one in told["layers"]})
    if len(found) != 2:
        raise FailedError(f"the registry has {len(found)} images, not 2")
    return float(sum(size for digest, size in found[1].items() if digest not in found[0]))


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """An empty registry; its host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = {"version": 0.1, "log": {"level": "error"}, "http": {"addr": host},
              "storage": {"filesystem": {"rootdirectory": str(folder)}}}  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(config))
    nothing = subprocess.DEVNULL
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=nothing, stderr=nothing
    ) as one:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))):
                    break
                time.sleep(0.1)
            yield host
        finally:
            one.terminate()


def _result(
    preset: str, mine: tuple[tuple[float, float, float, float], ...], plain: tuple[tuple[float, float], ...]
) -> Result:
    push = Series(name="`devenv push`, the first time", samples=tuple(one[0] for one in mine))
    pull = Series(name="`devenv pull`", samples=tuple(one[1] for one in mine))
    more = Series(name="sent for one more package / its layers", samples=tuple(one[2] / one[3] for one in mine))
    docker_push = Series(name="`docker push`", samples=tuple(one for one, _ in plain))
    docker_pull = Series(name="`docker pull`", samples=tuple(one for _, one in plain))
    pushes, pulls = ratios("push", push, docker_push), ratios("pull", pull, docker_pull)
    return Result(
        name="share",
        title="Push and pull",
        goals=(
            Goal(text="a first push against `docker push`", figure=pushes.median, limit=_MAX_PUSH, unit="×"),
            Goal(text="a pull against `docker pull`", figure=pulls.median, limit=_MAX_PULL, unit="×"),
            Goal(text="bytes for one more package, against its layers", figure=more.median, limit=_MAX_MORE, unit="×"),
        ),
        tables=(
            table("", (
                row(push, "s"), row(docker_push, "s"), row(pushes, "×"), row(pull, "s"), row(docker_pull, "s"),
                row(pulls, "×"), row(more, "×"),
            )),
        ),
        remarks=(f"An image of the preset `{preset}` with one variable more; the registry is on this machine.",),
        data={"series": [one.as_json() for one in (push, docker_push, pushes, pull, docker_pull, pulls, more)]},
    )  # fmt: skip
