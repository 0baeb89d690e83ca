"""Image from build context: BuildKit through `docker buildx build`, with no network."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

from devenv.build.context import BASE
from devenv.build.image import Image, Step
from devenv.build.source_failure import of_image
from devenv.build.source_store import keep, kept, kept_wheels
from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.docker.buildx import NO_PROXIES, OWN_BUILDER, csv, own_variables
from devenv.doors.docker.engine import Engine
from devenv.doors.docker.local_tag import LOCAL
from devenv.doors.terminal.progress import Progress
from devenv.errors import BuildError, CancelledError
from devenv.fetch.store import Store
from devenv.lock.model import LockedBase
from devenv.plan.cache_keys import source_key
from devenv.plan.plan import Plan
from devenv.resolve.base_image import gone

_EDITOR = "editor"
_AT_ONCE = 2
"""Exports at the same time."""
_STEP = re.compile(r"^#(\d+) \[(?P<name>[^\]]+)\] (?P<text>.*)$")
_OUTPUT = re.compile(r"^#(\d+) (?P<seconds>\d+\.\d+) (?P<text>.*)$")
_DAMAGED = re.compile(r"failed to prepare \S+ as \S+: .*/overlay2/.*: no such file or directory")
_END = re.compile(r"^#(\d+) (?P<how>DONE|CACHED|ERROR|CANCELED)\b ?(?P<text>.*)$")


def build(
    plan: Plan,
    folder: Path,
    engine: Engine,
    store: Store,
    *,
    progress: Progress,
    no_cache: bool = False,
    cancel: Cancellation | None = None,
) -> Image:
    """Build the plan's image from the context in `folder`. Raises BuildError with the failing step's last lines,
    CancelledError."""
    base = tuple(base_here(plan.lock.base, engine))
    editor = [] if no_cache else list(_kept_editor(plan, engine, store, progress))
    wheels = () if no_cache else tuple(kept_wheels(plan.lock, store))
    arguments = [
        *base, *editor, *wheels, *(["--no-cache"] if no_cache else []), "--load", "--tag", plan.image, *_platform(plan)
    ]  # fmt: skip
    keeping = plan if not editor else dataclasses.replace(plan, editor=None)
    with (cancel or Cancellation()).part() as all_of_it:
        run = partial(buildx, folder=folder, engine=engine, progress=progress, cancel=all_of_it)
        with _Keeper(keeping, store, progress, all_of_it, lambda further: run([*base, *further])) as keeper:
            try:
                steps = run(arguments, on_step=keeper.saw)
            except BuildError as error:
                raise of_image(error, plan.lock) from None
            keeper.finish()
    built = engine.image_id(plan.image)
    if built is None:
        raise BuildError(
            f"the build succeeded, but the engine has no image {plan.image}",
            hint="another program may have removed it: run the command again",
        )
    return Image(reference=plan.image, id=built, cached=False, steps=steps)


def name_base(base: LockedBase, engine: Engine) -> str | None:
    """Tag the base image that this engine has, because a Dockerfile cannot name an id, and return the tag.

    None for a base that is not an image, and for a missing image of a registry. Raises BuildError for a missing image
    that came from no registry.
    """
    if base.digest is None or base.reference is None or base.tag is None:
        return None
    if here := engine.image_id(base.digest if base.local else base.reference):
        engine.tag(here, base.tag)
        return base.tag
    if base.local:
        message, hint = gone(base.digest, base.image)
        raise BuildError(message, hint=hint)
    return None


def _platform(plan: Plan) -> tuple[str, str]:
    """The lock's platform, whatever the user's docker client builds for."""
    return "--platform", plan.lock.platform


def base_here(base: LockedBase, engine: Engine) -> Iterator[str]:
    """The build arguments that replace the Dockerfile's base image with the one on this engine.

    The containerd image store gives every image a registry digest, even an image that no registry has.
    """
    tag = name_base(base, engine)
    if tag is not None and tag != base.reference:
        yield from ("--build-context", f"{base.reference}=docker-image://{tag}")


def _kept_editor(plan: Plan, engine: Engine, store: Store, progress: Progress) -> Iterator[str]:
    """The build arguments that replace the stages that compile the editor with a finished one, when there is one.

    A named context overrides the stage of that name. The store keeps the editor for engines that lost it.
    """
    if plan.editor is None or plan.editor_image is None:
        return
    image = plan.editor_image
    if engine.image_id(image) is None:
        if (made := store.kept(_EDITOR, plan.editor)) is None:
            return
        progress.message("the editor, compiled before")
        buildx(["--load", "--tag", image, *_platform(plan)], made, engine, progress)
    yield from ("--build-context", f"editor=docker-image://{image}")


class _Keeper:
    """Keeps what is made here and lasts longest, for engines that will not have it: the finished base as a tar that
    takes its first stage's place, the compiled editor as a folder that builds to an image of nothing else, and wheels
    that were made from source. Each is exported as soon as its stage, which has one step, is done, while the others go
    on: `run` builds with the further arguments, and `cancel` ends the build with all that is exported beside it."""

    def __init__(
        self, plan: Plan, store: Store, progress: Progress, cancel: Cancellation, run: Callable[[list[str]], object]
    ) -> None:
        self._store, self._progress, self._cancel, self._run = store, progress, cancel, run
        self._platform = _platform(plan)
        self._lock = plan.lock
        self._sources = {source.stage: source for source in plan.lock.sourced}
        wheels = {stage: source_key(plan.lock, source) for stage, source in self._sources.items()}
        new = {stage: key for stage, key in wheels.items() if not kept(store, key)}
        self._keys = {BASE: plan.base, _EDITOR: plan.editor, **new}  # whose export has not begun
        self._pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="keep")
        self._begun: list[concurrent.futures.Future[None]] = []
        self._has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._has_failed = True  # before the wait, because an export may be about to begin
            self._cancel.cancel()
        self._pool.shutdown(cancel_futures=True)

    def saw(self, step: Step) -> None:
        """A step of the build is done."""
        self._begin(step.name[1:].partition(" ")[0])

    def finish(self) -> None:
        """The build is done: wait until everything is kept."""
        for stage in tuple(self._keys):
            self._begin(stage)
        for future in self._begun:
            future.result()

    def _begin(self, stage: str) -> None:
        if key := self._keys.pop(stage, None):
            self._begun.append(self._pool.submit(self._keep, stage, key))

    def _keep(self, stage: str, key: str) -> None:
        try:
            if source := self._sources.get(stage):
                with tempfile.TemporaryDirectory() as scratch:
                    result = Path(scratch) / "result.tar"
                    self._export(stage, result)
                    keep(result, self._lock, source, self._store)
                return
            self._store.derive(
                stage, key, self._editor if stage == _EDITOR else lambda place: self._export(stage, place)
            )
        except (BuildError, CancelledError, OSError) as error:
            # The image needs no copy: without one, the next build on another engine makes the stage again.
            if not self._has_failed:
                self._progress.message(f"cannot keep the {stage}: {error}")

    def _export(self, stage: str, target: Path) -> None:
        if self._has_failed:  # another devenv process kept the same stage meanwhile
            raise BuildError("the build has ended")
        self._run(["--target", stage, *self._platform, "--output", csv("type=tar", f"dest={target}")])

    def _editor(self, place: Path) -> None:
        place.mkdir()
        self._export(_EDITOR, place / "editor.tar")
        (place / "Dockerfile").write_text("FROM scratch\nADD editor.tar /\n", encoding="utf-8")


def _nothing(_: Step) -> None:
    """Do nothing: the steps of this build are not reported."""


def buildx(
    arguments: list[str],
    folder: Path,
    engine: Engine,
    progress: Progress,
    on_step: Callable[[Step], None] = _nothing,
    *,
    cancel: Cancellation | None = None,
) -> tuple[Step, ...]:
    """Build the folder's Dockerfile on this engine with no network and none of the user's settings for builds;
    `arguments` select the result, `on_step` gets each finished step. Raises BuildError."""
    command = [
        "docker", "buildx", "build", *OWN_BUILDER, "--network", "none", "--progress", "plain", "--provenance=false",
        *NO_PROXIES, *arguments, str(folder),
    ]  # fmt: skip
    try:
        steps = []
        lines = process.lines(command, env=own_variables(engine.endpoint), cancel=cancel)
        for step in _steps(lines, progress):
            steps.append(step)
            on_step(step)
        return tuple(steps)
    except process.ProcessError as failed:
        text = failed.outcome.err
        raise BuildError(_failure(text), detail=_tail(text), hint=_hint(text)) from None
    except FileNotFoundError:
        raise BuildError("the 'docker' client program is not installed", hint="install docker-cli") from None


def _steps(lines: Iterator[str], progress: Progress) -> Iterator[Step]:
    """Follow BuildKit's plain progress: yield each finished step, and report the running one to the listener."""
    names: dict[str, str] = {}
    for line in lines:
        if step := _STEP.match(line):
            names[step[1]] = f"[{step['name']}] {step['text']}"
            progress.message(f"[{step['name']}] {_short(step['text'])}")
        elif (end := _END.match(line)) and end[1] in names:
            name = names.pop(end[1])
            if end["how"] == "CACHED":
                yield Step(name=name, seconds=0.0, cached=True)
            elif end["how"] == "DONE":
                seconds = re.match(r"(\d+\.\d+)s", end["text"])
                yield Step(name=name, seconds=float(seconds[1]) if seconds else 0.0, cached=False)
        elif (output := _OUTPUT.match(line)) and output[1] in names:
            progress.message(f"{names[output[1]].split(']')[0]}] {_short(output['text'])}")


def _short(text: str) -> str:
    return " ".join(text.split())[:100]


def _failure(text: str) -> str:
    found = re.search(r"^ > (\[[^\]]+\])", text, re.MULTILINE)
    return f"the image build failed at {found[1]}" if found else "the image build failed"


def _tail(text: str) -> str:
    """The last lines of the failed step, from the whole log, because BuildKit's own excerpt has only about ten."""
    lines = text.splitlines()
    failed = next((end[1] for line in lines if (end := _END.match(line)) and end["how"] == "ERROR"), None)
    output_lines = [output["text"] for line in lines if (output := _OUTPUT.match(line)) and output[1] == failed]
    return "\n".join(line[:300] for line in (output_lines or lines)[-25:])


def _hint(text: str) -> str:
    if "no space left on device" in text.lower():  # the message of BuildKit, or of a program in a step
        return "the engine's disk is full: free space with 'devenv prune' or 'docker system prune', then run again"
    if f"failed to resolve source metadata for {LOCAL}" in text:
        return "another program may have removed an image that the build needs: run the command again"
    if _DAMAGED.search(text):
        return "the builder's cache is damaged: remove it with 'docker builder prune --all', then run again"
    if "error getting credentials" in text:
        return (
            "the credential helper that docker's config.json names ('credsStore', 'credHelpers') does not work: "
            "install it, or remove it from that file"
        )
    return "run again with -v for the whole build log; what was built so far is kept"
