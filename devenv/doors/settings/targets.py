"""Targets of `--on`: other machines that run environments. They come from the user's own settings alone, never from a
project, because a project of others must not choose where this user's commands run."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from devenv.doors import atomic, files
from devenv.doors.untrusted import from_json, from_yaml
from devenv.errors import UsageError

HERE = "here"
"""As a target: this machine."""
KUBERNETES = "k8s"
"""As a target: the cluster of kubectl's settings; also k8s:CONTEXT and k8s:CONTEXT/NAMESPACE."""
FILE = "targets.json"
KNOWN = (
    "targets: {NAME: {ssh: DESTINATION, python: FILE} or {kubernetes: {context: NAME, namespace: NAME}}}; target: NAME"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UNSAFE = re.compile(r"[\s\x00-\x20\x7f-\x9f'\"`$\\;&<>|(){}*?!#~^]")
"""What a shell of ProxyCommand, a terminal or an option could take for something else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """A machine that OpenSSH's client reaches. `destination`: as for ssh; `python`: its Python, where devenv would not
    find it."""

    name: str
    destination: str
    python: str | None = None
    origin: str = "--on"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesTarget:
    """A cluster. `context`: of kubectl's settings, None for the current one; `namespace`: None for the context's."""

    name: str
    context: str | None = None
    namespace: str | None = None
    origin: str = "--on"


Target: TypeAlias = SshTarget | KubernetesTarget


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets that the user has named. `on`: the one that commands take without `--on`, None for this machine;
    `on_from`: the place that names it."""

    named: tuple[Target, ...] = ()
    on: str | None = None
    on_from: str = ""

    def meant(self, word: str | None) -> Target | None:
        """The target that `--on WORD` means, or without a word the default; None for this machine. Raises
        UsageError."""
        where = self.on_from if word is None else "--on"
        word = self.on if word is None else word
        if word is None or word == HERE:
            return None
        for one in self.named:
            if one.name == word:
                return one
        if word == KUBERNETES or word.startswith(f"{KUBERNETES}:"):
            return _cluster(word, where)
        return SshTarget(name=word, destination=destination(word, where))


def destination(text: str, where: str) -> str:
    """A destination as for ssh: HOST, USER@HOST or ssh://USER@HOST:PORT. Raises UsageError for what the client or a
    shell could take for an option or a command."""
    user, _, host = text.removeprefix("ssh://").rpartition("@")
    if not host or len(text) > 300 or _UNSAFE.search(text) or host.startswith("-") or user.startswith("-"):
        raise UsageError(
            f"{text!r} is not a destination of SSH", where=where, hint="write HOST, USER@HOST or ssh://USER@HOST:PORT"
        )
    return text


def _cluster(word: str, where: str) -> KubernetesTarget:
    context, _, namespace = word.partition(":")[2].partition("/")
    if _bad_words(context, namespace) or (":" in word and not context):
        raise UsageError(
            f"{word!r} is not a cluster", where=where,
            hint="write k8s, k8s:CONTEXT or k8s:CONTEXT/NAMESPACE; name other contexts with 'devenv targets add'",
        )  # fmt: skip
    return KubernetesTarget(name=word, context=context or None, namespace=namespace or None)


def _bad_words(context: str, namespace: str) -> bool:
    return (
        context.startswith("-") or not context.isprintable() or bool(namespace and not _NAMESPACE.fullmatch(namespace))
    )


def check_name(name: str) -> str:
    """A target's name. Raises UsageError."""
    if name in (HERE, KUBERNETES) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a target's name",
            hint="take a-z, 0-9, '.', '_' and '-', as gpu-box; here and k8s are taken",
        )
    return name


def wrong(data: Mapping[str, Any]) -> str | None:
    """Why the sections `targets` and `target` of the user's settings cannot be used; None when they can."""
    try:
        parsed(data.get("targets", {}), "")
        # Not `on`, which YAML reads as true.
        if "target" in data and (not isinstance(data["target"], str) or not data["target"]):
            return "target: the name of a target"
    except UsageError as error:
        return f"targets: {error.message}"
    return None


def parsed(section: Any, origin: str) -> tuple[Target, ...]:
    """The targets in a section `targets`. Raises UsageError."""
    if not isinstance(section, dict):
        raise UsageError("a name for each target")
    return tuple(_one(name, values, origin) for name, values in section.items())


def _one(name: Any, values: Any, origin: str) -> Target:
    check_name(name if isinstance(name, str) else repr(name))
    if isinstance(values, dict) and isinstance(values.get("ssh"), str) and set(values) <= {"ssh", "python"}:
        python = values.get("python")
        if python is not None and (
            not isinstance(python, str) or not python.startswith("/") or not python.isprintable()
        ):
            raise UsageError(f"{name}: python is a file there, written from /")
        return SshTarget(name=name, destination=destination(values["ssh"], name), python=python, origin=origin)
    if isinstance(values, dict) and set(values) == {"kubernetes"}:
        words = values["kubernetes"] if values["kubernetes"] is not None else {}
        if isinstance(words, dict) and set(words) <= {"context", "namespace"}:
            context, namespace = words.get("context"), words.get("namespace")
            if isinstance(context or "", str) and isinstance(namespace or "", str):
                if _bad_words(context or "", namespace or ""):
                    raise UsageError(f"{name}: not a context and a namespace")
                return KubernetesTarget(name=name, context=context, namespace=namespace, origin=origin)
    raise UsageError(f"{name} needs ssh: DESTINATION, or kubernetes: {{context: NAME, namespace: NAME}}")


def shown(target: Target) -> str:
    """A target for people."""
    if isinstance(target, SshTarget):
        return f"ssh {target.destination}"
    return f"kubernetes {target.context or 'current context'}/{target.namespace or 'its namespace'}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What `devenv targets` writes: a file of its own in the user's configuration folder, so that config.yaml stays as
    its user wrote it. `config`: the path of config.yaml."""

    path: Path
    config: Path

    def targets(self, project: Path | None, chosen: str | None) -> Targets:
        """All targets of this user, those of config.yaml too; the default is what `chosen` names (DEVENV_ON), else the
        one for the project, else the user's. Raises UsageError."""
        kept, own = self._read(), _own(self.config)
        named = {one.name: one for one in parsed(own.get("targets", {}), str(self.config))}
        named |= {one.name: one for one in parsed(kept.get("targets", {}), str(self.path))}
        projects = kept.get("projects", {})
        for on, place in (
            (chosen, "DEVENV_ON"), (projects.get(str(project)), str(self.path)), (kept.get("target"), str(self.path)),
            (own.get("target"), str(self.config)),
        ):  # fmt: skip
            if on:
                return Targets(named=tuple(named.values()), on=str(on), on_from=place)
        return Targets(named=tuple(named.values()))

    def add(self, target: Target) -> None:
        """Keep a target, in the place of another of its name."""
        kept = self._read()
        values: dict[str, Any]
        if isinstance(target, SshTarget):
            values = {"ssh": target.destination} | ({"python": target.python} if target.python else {})
        else:
            words = {"context": target.context, "namespace": target.namespace}
            values = {"kubernetes": {key: value for key, value in words.items() if value}}
        self._write({**kept, "targets": {**kept.get("targets", {}), target.name: values}})

    def remove(self, name: str) -> None:
        """Forget a target, and that it was a default. Raises UsageError for one that is not kept here."""
        kept = self._read()
        others = {one: values for one, values in kept.get("targets", {}).items() if one != name}
        if len(others) == len(kept.get("targets", {})):
            where = str(self.config) if name in _own(self.config).get("targets", {}) else None
            why = "is written in config.yaml: remove it there" if where else "is not a target"
            raise UsageError(f"{name} {why}", where=where, hint="devenv targets list")
        projects = {project: on for project, on in kept.get("projects", {}).items() if on != name}
        on = {} if kept.get("target") == name else {"target": kept["target"]} if "target" in kept else {}
        self._write({"targets": others, "projects": projects, **on})

    def use(self, name: str | None, project: Path | None) -> None:
        """Make a target the default: of one project on this machine, or of all commands of this user; None: no default
        any more."""
        kept = self._read()
        if project is not None:
            projects = {key: on for key, on in kept.get("projects", {}).items() if key != str(project)}
            self._write({**kept, "projects": projects | ({str(project): name} if name else {})})
            return
        self._write(
            {**{key: value for key, value in kept.items() if key != "target"}, **({"target": name} if name else {})}
        )

    def _read(self) -> dict[str, Any]:
        if not files.is_there(self.path):
            return {}
        try:
            data = from_json(files.read(self.path, most_bytes=files.STATE_BYTES))
        except OSError as error:
            raise UsageError(f"cannot be read: {files.reason(error)}", where=str(self.path)) from None
        except ValueError as error:
            raise UsageError(f"not JSON: {error}", where=str(self.path), hint="remove the file") from None
        if not isinstance(data, dict) or not isinstance(data.get("projects", {}), dict):
            raise UsageError("it holds no targets", where=str(self.path), hint="remove the file")
        if (why := wrong(data)) is not None:
            raise UsageError(why, where=str(self.path), hint="correct it, or remove the file")
        return data

    def _write(self, data: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(self.path, json.dumps(data, indent=2, sort_keys=True) + "\n", mode=0o600)


def _own(path: Path) -> dict[str, Any]:
    """The sections of config.yaml about targets; 'devenv settings' and every command check the rest."""
    if not files.is_there(path):
        return {}
    try:
        data = from_yaml(files.read(path, most_bytes=files.STATE_BYTES).decode(errors="replace")) or {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path)) from None
    why = wrong(data) if isinstance(data, dict) else "not settings"
    if why is not None:
        raise UsageError(why, where=str(path), hint=f"write {KNOWN}")
    return {key: value for key, value in data.items() if key in ("targets", "target")}
