"""Plan → text: the Dockerfile, the image's files, devcontainer.json and the compose file, all in memory."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from devenv.doors import files
from devenv.doors.dirs import templates_dir
from devenv.errors import RenderError
from devenv.lock.model import Lock
from devenv.plan.inside import SERVE, WORKBENCH, WORKSPACE
from devenv.plan.plan import Plan
from devenv.plan.role import DRAIN, health, in_role, serves
from devenv.plan.tree_digest import walk
from devenv.render.artifacts import artifact_lists
from devenv.render.devcontainer import MARK, RUN_TMPFS, devcontainer, is_ours, place
from devenv.render.lists import first_lists
from devenv.render.sbom import provenance, sbom
from devenv.render.services import supervised
from devenv.render.sources import Stages, source_lists

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_BYTES = 256 << 20
"""The size limit of a file rendered into a folder; archives that a preset pins are such files."""

CONTEXT_MARKER = ".devenv-context"
"""Marks a folder that `render --with-artifacts` made and may replace."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Rendered files by relative path: `files` are for people, `context` goes into the build context (the Dockerfile
    is in both). `modes` holds those that are not 0644."""

    files: Mapping[str, bytes]
    context: Mapping[str, bytes]
    modes: Mapping[str, int]

    def write(self, target: Path) -> tuple[Path, ...]:
        """Write `files` below `target`, each whole or not at all; returns the changed ones.

        Raises RenderError for an existing file that devenv did not write, and for a link to anything else than a file
        of devenv's in `target`.
        """
        changed = self._changed(target)
        self.require_free(target)
        try:
            for name in changed:
                files.write_below(target, name, self.files[name])
        except OSError as error:
            raise RenderError(
                f"cannot write the rendered files: {error.filename or target}: {error.strerror}",
                hint=files.hint(error),
            ) from None
        return tuple(target / name for name in changed)

    def require_free(self, target: Path) -> None:
        """Raise RenderError unless `write` may replace what lies below `target`."""
        for name in self._changed(target):
            if _is_someones(target, name):
                raise RenderError(
                    f"{target / name} exists, and devenv did not write it",
                    hint=_BESIDE if name == place() else _ELSEWHERE,
                )
        if place() in self.files and _is_someones(target, _HIDDEN):
            raise RenderError(
                f"{target / _HIDDEN} exists, and devenv did not write it; dev container clients would no longer use it",
                hint=_BESIDE,
            )

    def _changed(self, target: Path) -> list[str]:
        return [name for name, data in self.files.items() if _read(target, name) != data]

    def owns(self, target: Path) -> bool:
        """Whether devenv wrote the whole folder `target` before, and may replace all of it."""
        return (target / CONTEXT_MARKER).is_file()

    def differences(self, target: Path) -> str:
        """A unified diff from the files below `target` to `files`; empty when equal."""
        import difflib

        parts: list[str] = []
        for name, data in self.files.items():
            old = _read(target, name)
            if old != data:
                before = (old or b"").decode(errors="replace").splitlines(keepends=True)
                after = data.decode(errors="replace").splitlines(keepends=True)
                source = "/dev/null" if old is None else f"a/{name}"
                shown = [*difflib.unified_diff(before, after, source, f"b/{name}")]
                parts += shown or [f"Files {source} and b/{name} differ\n"]
        return "".join(parts)


def render(plan: Plan, *, self_contained: bool = False, with_context: bool = True, online: bool = False) -> Rendered:
    """Render the files for people and, unless `with_context` is off, those of the build context.

    `self_contained`: the files go into a folder that holds the build context as well, so devcontainer.json and compose
    build the image there instead of asking devenv to. `online`: that folder is a project's own `.devcontainer`, without
    artifacts; the build brings them (devenv/build/standalone.py has the rest of it). Raises RenderError.
    """
    if online and plan.lock.base.local:
        raise RenderError(
            f"the base image {plan.lock.base.image} came from no registry, so other machines cannot get it",
            hint="push it to a registry and name it from there, or use 'bootstrap'",
        )
    if online and (commits := [source for source in plan.lock.sourced if source.commit]):
        raise RenderError(
            f"{commits[0].name} is in a git repository, which a build over the network does not fetch",
            hint="use 'devenv render --with-artifacts', or devenv itself",
        )
    if online and (named := [vsix for vsix in plan.lock.extensions if vsix.platform]):
        raise RenderError(
            f"{named[0].name} is in a registry of extensions, which a build over the network does not ask",
            hint="use 'devenv render --with-artifacts', or devenv itself; or pin its .vsix file in the preset",
        )
    env = _environment(online=online)
    tools = plan.lock.base.reference or _plain_image(plan)
    dockerfile = _render(env, "dockerfile/Dockerfile.j2", plan=plan, tools=tools, **_stages(plan.lock))
    context, modes = _context(env, plan, dockerfile) if with_context else ({}, {})
    bench = in_role(plan, WORKBENCH)
    serving = (in_role(plan, SERVE),) if serves(plan) else ()
    document = devcontainer(bench, self_contained=self_contained, online=online)
    people = {
        "devcontainer.json" if online else place(): _json(document),
        **({".dockerignore": _render(env, "dockerignore.j2")} if self_contained else {}),
        "Dockerfile": dockerfile,
        "compose.yaml": _render(
            env,
            "compose.yaml.j2",
            plan=plan,
            plans=(bench, *serving),
            mounts=_volumes(plan),
            health=health(serving[0]) if serving else None,
            self_contained=self_contained,
        ),
    }
    return Rendered(
        files=MappingProxyType(people),
        context=MappingProxyType(dict(sorted(context.items()))),
        modes=MappingProxyType(modes),
    )


def render_configuration(plan: Plan, name: str, *, dockerfile: str = "") -> Rendered:
    """One of several dev container configurations of a project: a devcontainer.json alone. `dockerfile`: one of the
    user's own on top of the image, from the document's folder."""
    document = devcontainer(in_role(plan, WORKBENCH), self_contained=False, dockerfile=dockerfile)
    files = {place(name): _json(document)}
    return Rendered(files=MappingProxyType(files), context=MappingProxyType({}), modes=MappingProxyType({}))


def render_sources(lock: Lock, user: tuple[str, int, str, int]) -> dict[str, bytes]:
    """The build context of the wheels of a lock's sources alone, without the artifacts; `user` as in a plan."""
    name, uid, group, gid = user
    stages = Stages(lock=lock, user=name, uid=uid, group=group, gid=gid)
    env = _environment(online=False)
    root = templates_dir() / "build"
    return {
        "Dockerfile": _render(env, "dockerfile/Sources.j2", plan=stages, **_stages(lock)),
        **{f"build/{path.relative_to(root).as_posix()}": path.read_bytes() for path in walk(root)},
        **{name: text.encode() for name, text in (first_lists(lock) | source_lists(lock)).items()},
    }


def _stages(lock: Lock) -> dict[str, str]:
    """What the templates of the first stages need: `bare` is the stage for steps that need the base's files, but not
    configured packages."""
    base, bare = {
        "bootstrap": ("dockerfile/bootstrap.j2", "unpacked"), "image": ("dockerfile/image.j2", "base"),
    }[lock.base.kind]  # fmt: skip
    return {"base": base, "bare": bare, "uv_scripts": f"uv-{lock.uv.version}.data/scripts"}


def _plain_image(plan: Plan) -> str:
    """The distribution's own image, by its registry name."""
    return f"{plan.lock.base.distribution}:{plan.lock.base.release}"


def _context(env: Environment, plan: Plan, dockerfile: bytes) -> tuple[dict[str, bytes], dict[str, int]]:
    """The rendered part of the build context, and the modes that are not 0644."""
    context, modes = _static(plan)
    context |= {
        "Dockerfile": dockerfile,
        "image/etc/devenv/preset.yaml": plan.carried.encode(),
        "image/etc/devenv/devenv.lock": plan.lock.dump().encode(),
        "image/etc/devenv/environment.json": _json(_record(plan)),
        "image/etc/devenv/provenance.json": provenance(plan.lock, plan.build_digest),
        "image/etc/devenv/sbom.cdx.json": sbom(plan.lock),
    }
    for name, data in supervised(plan, functools.partial(_render, env)):
        context[name] = data
        if data.startswith(b"#!"):
            modes[name] = 0o755
    return context | artifact_lists(plan), modes


def _volumes(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Named volumes and their mount points, the environment's own first."""
    own = (f"devenv-{plan.preset}-data", f"/mnt/{plan.preset}")
    return (own, *((f"devenv-{plan.preset}-vol-{name}", path) for name, path in plan.volumes))


def _record(plan: Plan) -> dict[str, Any]:
    """The image's record of itself, for people and for a devenv that has only the image."""
    return {
        "preset": plan.preset,
        "python": plan.python,
        "build": plan.build_digest,
        "lock": plan.lock.digest,
        "user": plan.user,
        "services": [service.document() for service in plan.services],
    }


_OF_IDE = ("usr/local/bin/code-server", "usr/local/lib/devenv/ide")
_OF_JUPYTER = ("usr/local/lib/devenv/jupyter", "etc/jupyter/")


def _static(plan: Plan) -> tuple[dict[str, bytes], dict[str, int]]:
    """The static files of image and build, without those of services that the plan lacks."""
    absent = (
        *(() if plan.lock.editor else _OF_IDE),
        *(() if plan.has("jupyter") else _OF_JUPYTER),
        *(() if serves(plan) else (DRAIN.removeprefix("/"),)),
    )
    found: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    for folder in ("build", "image"):
        root = templates_dir() / folder
        for path in walk(root):
            inner = path.relative_to(root).as_posix()
            if folder == "image" and inner.startswith(absent):
                continue
            name = f"{folder}/{inner}"
            found[name] = path.read_bytes()
            # A wheel loses executable bits, so a file that starts with #! counts as a program.
            if folder == "image" and found[name].startswith(b"#!"):
                modes[name] = 0o755
    return found, modes


@functools.cache
def _environment(*, online: bool) -> Environment:
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is shell and Docker text, quoted by the filters below
    )
    env.filters |= {"sh": shlex.quote, "docker": _docker_quote, "ident": _identifier}
    env.globals |= {"workdir": WORKSPACE, "run_tmpfs": RUN_TMPFS, "online": online}
    return env


def _render(env: Environment, template: str, **values: object) -> bytes:
    import jinja2

    try:
        return env.get_template(template).render(values).encode()
    except jinja2.TemplateError as error:
        raise RenderError(f"template {template}: {error}", hint="this is a mistake in devenv's templates") from None


def _docker_quote(value: str) -> str:
    """A value of ENV or LABEL: double-quoted, with nothing in it that Docker would expand."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def _identifier(name: str) -> str:
    return name.replace("-", "_")


_HIDDEN = ".devcontainer.json"
"""The other place of a project's only configuration: clients use it where the first does not exist."""
_BESIDE = "render one beside it, which clients offer by its name: devenv render --configuration NAME"


_ELSEWHERE = "move it away or choose another folder with -o"


def _is_someones(target: Path, name: str) -> bool:
    """Whether what lies there is not devenv's to replace; an empty file is, a link to none is not."""
    data = _read(target, name)
    if not data:
        return (target / name).is_symlink()
    return not _is_ours(name, data)


def _is_ours(name: str, data: bytes) -> bool:
    return is_ours(data) if name.endswith("devcontainer.json") else MARK.encode() in data


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _read(target: Path, name: str) -> bytes | None:
    """A file below `target`; None when there is none. Raises RenderError unless it is a regular file of that folder."""
    try:
        return files.read(target / name, most_bytes=MAX_BYTES, inside=target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RenderError(
            f"cannot read {target / name}: {files.reason(error)}",
            hint=files.hint(error) or _ELSEWHERE,
        ) from None
