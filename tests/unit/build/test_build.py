from __future__ import annotations

import contextlib
import dataclasses
import io
import tarfile
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.build import build
from devenv.build.image import Step
from devenv.build.source_store import kept
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.address import Endpoint
from devenv.doors.docker.local_tag import LOCAL
from devenv.errors import BuildError
from devenv.fetch.store import Store
from devenv.lock.model import LockedBase, LockedSources, Source
from devenv.plan.cache_keys import source_key
from devenv.plan.plan import Plan, plan
from tests.unit.examples import loaded, lock
from tests.unit.sdists import wheel_file

LOG = """\
#0 building with "default" instance using docker driver
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 1.01kB done
#1 DONE 0.0s
#5 [base 2/3] RUN <<SH (set -eu...)
#5 0.724 dpkg: warning: ignoring pre-dependency problem!
#6 [python 1/2] RUN uv pip install
#6 CACHED
#5 DONE 10.9s
"""

DIGEST = f"sha256:{'b' * 64}"

FAILED = """\
#7 [python 2/2] RUN uv pip install
#7 1.2 first word
#8 1.3 another step's word
#7 1.4 boom
#7 ERROR: process "/bin/sh" did not complete successfully: exit code: 1
------
 > [python 2/2] RUN uv pip install:
1.4 boom
------
Dockerfile:7
ERROR: failed to solve: process
"""


class Told:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def start(self, task: str, total_bytes: int | None) -> None: ...
    def advance(self, task: str, bytes_: int) -> None: ...
    def finish(self, task: str) -> None: ...
    def message(self, text: str) -> None:
        self.texts.append(text)


def test_steps_are_read_from_buildkits_plain_progress() -> None:
    told = Told()
    steps = list(build._steps(iter(LOG.splitlines()), told))
    assert [(s.name.split("]")[0] + "]", s.seconds, s.cached) for s in steps] == [
        ("[internal]", 0.0, False),
        ("[python 1/2]", 0.0, True),
        ("[base 2/3]", 10.9, False),
    ]
    assert "[base 2/3] dpkg: warning: ignoring pre-dependency problem!" in told.texts


def test_a_failure_names_the_step_and_shows_its_output() -> None:
    assert build._failure(FAILED) == "the image build failed at [python 2/2]"
    assert build._tail(FAILED) == "first word\nboom"


def test_a_failure_outside_any_step_shows_the_end_of_the_log() -> None:
    assert build._tail("ERROR: no builder\n") == "ERROR: no builder"


def test_a_full_disk_has_its_own_remedy() -> None:
    assert "prune" in build._hint("write /x: no space left on device")
    assert "prune" in build._hint("cause: failed to write to file `/tmp/x.so`: No space left on device (os error 28)")


def test_an_image_that_the_engine_has_no_more_has_its_own_remedy() -> None:
    name = f"{LOCAL}devenv/editor:1"
    lost = f"ERROR: failed to solve: {name}: failed to resolve source metadata for {name}: failed to do request: Head …"
    assert "another program may have removed an image" in build._hint(lost)
    assert "another program" not in build._hint(FAILED)


def test_a_missing_credential_helper_has_its_own_remedy() -> None:
    said = 'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH, out: ``'
    assert "credsStore" in build._hint(f"ERROR: failed to solve: r/i:1: {said}")


def test_a_damaged_cache_is_named() -> None:
    """A folder of the engine's is gone, and every further build would fail at the same step."""
    said = (
        "ERROR: failed to solve: failed to prepare 4sfh1j as 57cn8h: "
        "open /var/lib/docker/overlay2/4tmoy3/.tmp-committed1286: no such file or directory"
    )
    assert "builder prune --all" in build._hint(said)


def test_the_users_own_settings_for_builds_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], Mapping[str, str | None]]] = []

    def lines(command: list[str], *, env: Mapping[str, str | None], **_: Any) -> Iterator[str]:
        seen.append((command, env))
        return iter(())

    monkeypatch.setattr(build.process, "lines", lines)
    engine: Any = types.SimpleNamespace(endpoint=Endpoint(address="unix:///here.sock"))
    build.buildx(["--load"], Path("context"), engine, Told())
    ((command, env),) = seen
    assert command[command.index("--builder") + 1] == "default"
    assert {"HTTPS_PROXY=", "https_proxy=", "ALL_PROXY=", "no_proxy="} <= set(command)
    assert env["DOCKER_HOST"] == "unix:///here.sock"
    for name in ("BUILDX_BUILDER", "DOCKER_CONTEXT", "DOCKER_DEFAULT_PLATFORM", "SOURCE_DATE_EPOCH", "BUILDKIT_SYNTAX"):
        assert env[name] is None


def test_every_build_is_for_the_locks_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, decided = Store(tmp_path), _decided()
    builds = [*_build(monkeypatch, store, Engine(), decided)[0].calls]
    builds += _build(monkeypatch, store, Engine(), decided)[0].calls  # an image of the editor that is kept, too
    assert len(builds) == 5
    assert {call[call.index("--platform") + 1] for call in builds} == {decided.lock.platform}


def test_a_wheel_made_from_source_is_kept_and_takes_its_stages_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(name="a", version="1", file="a-1.tar.gz", size=1, sha256="0" * 64, layer=0, backend="x")
    decided = plan(loaded(), lock(sources=LockedSources(packages=(source,))))
    store = Store(tmp_path / "store")
    data = wheel_file(tmp_path, "a", "1").read_bytes()

    def exported(path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("a-1-py3-none-any.whl")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    first, _ = _build(monkeypatch, store, Engine(), decided, exports={source.stage: exported})
    assert source.stage in first.targets
    made = kept(store, source_key(decided.lock, source))
    assert made is not None
    again, _ = _build(monkeypatch, store, Engine(), decided)
    assert again.targets == []
    assert f"{source.stage}={made.parent}" in again.calls[-1]
    anew, _ = _build(monkeypatch, store, Engine(), decided, no_cache=True)
    assert not [word for word in anew.calls[0] if word.startswith(source.stage)]


def test_a_source_that_cannot_be_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(name="a", version="1", file="a-1.tar.gz", size=1, sha256="0" * 64, layer=0, backend="x")
    decided = plan(loaded(), lock(sources=LockedSources(packages=(source,))))

    def failing(*_: object, **__: object) -> tuple[()]:
        raise BuildError(f"the image build failed at [make-{source.stage} 1/1]", detail="x.c:3:1: error: no")

    monkeypatch.setattr(build, "buildx", failing)
    with pytest.raises(BuildError, match=r"a 1 cannot be built from a-1\.tar\.gz: x\.c:3 failed"):
        build.build(decided, Path("context"), Engine(), Store(tmp_path), progress=Told())  # type: ignore[arg-type]


class Engine:
    """An engine that has the images that it is told of, and every image that was built."""

    def __init__(self, *images: str) -> None:
        self.images = set(images)
        self.tags = dict[str, str]()

    def tag(self, reference: str, name: str) -> None:
        self.tags[name] = reference

    def image_id(self, reference: str) -> str | None:
        return f"sha256:{reference}" if reference in self.images else None


class Builder:
    """Stands for buildx: notes the arguments, writes what was to be exported."""

    def __init__(
        self, engine: Engine, fails: str = "", exports: Mapping[str, Callable[[Path], None]] | None = None
    ) -> None:
        self.engine, self.fails, self.calls = engine, fails, list[list[str]]()
        self.exports = exports or {}

    def __call__(self, arguments: list[str], folder: Path, engine: object, progress: object, **_: object) -> tuple[()]:
        self.calls.append([*arguments, str(folder)])
        target = arguments[arguments.index("--target") + 1] if "--target" in arguments else "image"
        if target == self.fails:
            raise BuildError("no space")
        if "--output" in arguments:
            place = Path(arguments[arguments.index("--output") + 1].partition("dest=")[2])
            self.exports.get(target, lambda path: path.write_text(target))(place)
        else:
            self.engine.images.add(arguments[arguments.index("--tag") + 1])
        return ()

    @property
    def targets(self) -> list[str]:
        return sorted(call[call.index("--target") + 1] for call in self.calls if "--target" in call)


def _build(
    monkeypatch: pytest.MonkeyPatch, store: Store, engine: Engine, decided: Plan, fails: str = "",
    exports: Mapping[str, Callable[[Path], None]] | None = None, **options: Any
) -> tuple[Builder, Told]:  # fmt: skip
    builder, told = Builder(engine, fails, exports), Told()
    monkeypatch.setattr(build, "buildx", builder)
    build.build(decided, Path("context"), engine, store, progress=told, **options)  # type: ignore[arg-type]
    return builder, told


def _decided() -> Plan:
    return plan(loaded(), lock())


def test_base_and_editor_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, decided = Store(tmp_path), _decided()
    first, _ = _build(monkeypatch, store, Engine(), decided)
    assert first.targets == ["base", "editor"]
    assert decided.base
    assert decided.editor
    assert store.derived("base", decided.base).read_text() == "base"
    assert (store.derived("editor", decided.editor) / "editor.tar").read_text() == "editor"
    again, _ = _build(monkeypatch, store, Engine(), decided)
    assert again.targets == []
    kept, image = again.calls
    assert kept[-1] == str(store.derived("editor", decided.editor))
    assert f"editor=docker-image://{decided.editor_image}" in image
    assert str(decided.editor_image).startswith(LOCAL)


def test_an_editor_that_the_engine_has_is_not_compiled_for_an_empty_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = _decided()
    assert decided.editor_image
    builder, _ = _build(monkeypatch, Store(tmp_path), Engine(decided.editor_image), decided)
    assert builder.targets == ["base"]


def test_a_build_without_a_cache_looks_at_nothing_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, decided = Store(tmp_path), _decided()
    _build(monkeypatch, store, Engine(), decided)
    builder, _ = _build(monkeypatch, store, Engine(str(decided.editor_image)), decided, no_cache=True)
    assert len(builder.calls) == 1
    assert "--no-cache" in builder.calls[0]
    assert "--build-context" not in builder.calls[0]


def _on_image(**more: Any) -> Plan:
    base = {
        "kind": "image",
        "distribution": "debian",
        "release": "bookworm",
        "image": "mine:1",
        "digest": DIGEST,
        **more,
    }
    return plan(loaded(), lock(base=LockedBase.model_validate(base)))


@pytest.mark.parametrize("local", [True, None])
def test_a_base_image_of_this_engine_is_asked_of_no_registry(
    local: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = _on_image(local=local)
    known_as = DIGEST if local else f"mine:1@{DIGEST}"
    engine = Engine(known_as)
    builder, _ = _build(monkeypatch, Store(tmp_path), engine, decided)
    tag = f"{LOCAL}devenv-base:{'b' * 16}"
    assert engine.tags == {tag: f"sha256:{known_as}"}
    assert builder.targets == ["editor"]
    # The Dockerfile itself names a local base by its tag.
    wanted = [] if local else ["--build-context", f"mine:1@{DIGEST}=docker-image://{tag}"]
    assert all(call[: call.index("--target" if "--target" in call else "--load")] == wanted for call in builder.calls)


def test_a_base_image_that_is_not_here_is_its_registrys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    builder, _ = _build(monkeypatch, Store(tmp_path), engine, _on_image())
    assert engine.tags == {}
    assert not any("--build-context" in call for call in builder.calls)
    with pytest.raises(BuildError, match="this engine has no image"):
        _build(monkeypatch, Store(tmp_path), Engine(), _on_image(local=True))


def test_a_plan_without_keys_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = dataclasses.replace(_decided(), base=None, editor=None)
    builder, _ = _build(monkeypatch, Store(tmp_path), Engine(), decided, no_cache=True)
    assert builder.targets == []
    assert not (tmp_path / "derived").exists()


def test_what_cannot_be_kept_is_said_and_the_image_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, decided = Store(tmp_path), _decided()
    _, told = _build(monkeypatch, store, Engine(), decided, fails="base")
    assert [text for text in told.texts if "keep" in text] == ["cannot keep the base: no space"]
    assert decided.base
    assert decided.editor
    assert not store.derived("base", decided.base).exists()
    assert store.derived("editor", decided.editor).exists()


def test_what_is_kept_is_exported_while_the_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = {name: threading.Event() for name in ("base", "editor")}

    def buildx(arguments: list[str], *, on_step: Any = None, **_: Any) -> tuple[()]:
        if "--output" in arguments:
            stage = arguments[arguments.index("--target") + 1]
            Path(arguments[arguments.index("--output") + 1].partition("dest=")[2]).write_text(stage)
            exported[stage].set()
            return ()
        on_step(Step(name="[bootstrap 1/1] RUN", seconds=1, cached=False))
        assert not exported["base"].is_set()
        for stage in ("base", "editor"):
            on_step(Step(name=f"[{stage} 1/1] COPY", seconds=1, cached=False))
            assert exported[stage].wait(30)
        return ()

    monkeypatch.setattr(build, "buildx", buildx)
    decided = _decided()
    build.build(decided, Path("context"), Engine(decided.image), Store(tmp_path), progress=Told())  # type: ignore[arg-type]
    assert decided.base
    assert Store(tmp_path).derived("base", decided.base).read_text() == "base"


def test_an_interrupt_ends_what_is_being_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, stopped = threading.Event(), threading.Event()

    def buildx(arguments: list[str], *, cancel: Cancellation, **_: object) -> tuple[()]:
        if "--output" not in arguments:
            return ()
        if arguments[arguments.index("--target") + 1] == "base":
            assert began.wait(30)
            raise KeyboardInterrupt  # where the main thread waits
        began.set()
        with cancel.ending(stopped.set):
            assert stopped.wait(30), "the other export goes on"
        raise BuildError("killed")

    monkeypatch.setattr(build, "buildx", buildx)
    store, decided = Store(tmp_path), _decided()
    engine = Engine(decided.image)
    with pytest.raises(KeyboardInterrupt):
        build.build(decided, Path("context"), engine, store, progress=Told())  # type: ignore[arg-type]
    assert stopped.is_set()
    assert decided.editor
    assert not store.derived("editor", decided.editor).exists()


def test_an_export_that_waits_does_not_begin_after_the_build_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, decided, told = Store(tmp_path), _decided(), Told()
    assert decided.base
    exported: list[str] = []

    def buildx(arguments: list[str], *, on_step: Any = None, **_: Any) -> tuple[()]:
        if "--output" in arguments:
            exported.append(arguments[arguments.index("--target") + 1])
            return ()
        on_step(Step(name="[base 1/1] COPY", seconds=1, cached=False))
        time.sleep(0.2)  # the export waits for whoever holds the lock
        threading.Timer(0.2, other.close).start()
        raise BuildError("the build failed")

    monkeypatch.setattr(build, "buildx", buildx)
    with contextlib.ExitStack() as other:
        other.enter_context(store.only(f"base-{decided.base}"))
        with pytest.raises(BuildError, match="the build failed"):
            build.build(decided, Path("context"), Engine(), store, progress=told)  # type: ignore[arg-type]
    assert exported == []
    assert [text for text in told.texts if "keep" in text] == []
