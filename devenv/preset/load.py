"""Presets from files: found, read with what they extend, composed, checked. All mistakes at once."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError

from devenv.doors import dirs, files
from devenv.errors import PresetError
from devenv.preset import checks, compose, host_paths, model_errors, own_project
from devenv.preset.model import Preset
from devenv.preset.project_root import MISSPELT, PROJECT_FILE, SHIPPED_FILE, above, has_own
from devenv.preset.yaml import parse
from devenv.preset.yaml import text as source
from devenv.preset.yaml.nodes import Mark, Node, Place, display
from devenv.preset.yaml.problems import Problems, given, nearest, quote

MAX_CHAIN = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPreset:
    """A preset and where it came from."""

    preset: Preset
    """Composed and checked; path values are absolute."""
    path: Path
    """The file that was asked for."""
    chain: tuple[Path, ...]
    """Every file that takes part: the root-most ancestor first, `path` last."""
    project: Path | None
    """The folder of a devenv.yaml; None for any other file."""
    origins: Mapping[Place, Mark]
    """Where each value that a file gives came from, by its place. Defaults are not in it."""
    shipped: bool
    """One of devenv's own presets."""

    def is_own(self, key: str) -> bool:
        """Whether a file of the user's gives the key, and not one of devenv's."""
        mark = self.origins.get((key,))
        return mark is not None and not is_shipped(mark.path)


def shipped() -> tuple[str, ...]:
    """The names of the shipped presets."""
    try:
        return tuple(sorted(path.parent.name for path in dirs.presets_dir().glob(f"*/{SHIPPED_FILE}")))
    except OSError:
        return ()


def find(argument: str | None, cwd: Path) -> Path:
    """The preset file that a command's PRESET means: a shipped name, a file, a folder with devenv.yaml, or nothing:
    devenv.yaml in `cwd`, else in the nearest folder above it. Raises PresetError when there is none."""
    if argument is None:
        return _in_folder(cwd if has_own(cwd) else above(cwd) or cwd)
    if _NAME.fullmatch(argument) and argument in shipped():
        return dirs.presets_dir() / argument / SHIPPED_FILE
    try:
        path = Path(_absolute(cwd / argument))
        if path.is_dir():
            return _in_folder(path)
        if path.exists() or path.is_symlink():
            return path
    except PermissionError:
        return Path(_absolute(cwd / argument))  # reading it reports that
    except (OSError, ValueError):
        raise PresetError(f"{quote(argument)} is not a usable name or path", hint=_shipped_hint(argument)) from None
    if "/" in argument or argument.endswith((".yaml", ".yml")):
        raise PresetError(f"the file {quote(argument)} does not exist", hint=_shipped_hint(Path(argument).stem))
    raise PresetError(f"unknown preset {quote(argument)}", hint=_shipped_hint(argument))


def load(path: Path) -> LoadedPreset:
    """The preset in `path`, composed with what it extends. Raises PresetError; its `problems` are all mistakes."""
    path = Path(_absolute(path))
    if not files.is_text(str(path)):
        raise PresetError(
            f"the path {quote(str(path))} is not UTF-8 text", hint="rename the file or folder: Docker cannot mount it"
        )
    problems = Problems(path)
    chain, layers = _layers(path, problems)
    top = layers[0]
    for layer in layers[1:]:
        top = compose.compose(_less(top, "name"), layer)
    top = compose.without_nulls(top)
    if "name" not in top.entries:
        top = dataclasses.replace(top, value={"name": Node(value=default_name(path), mark=top.mark), **top.entries})
    preset = None
    cross = len(problems)
    checks.check(top, problems)
    own_project.check(top, path.parent, problems)
    top = _less(top, own_project.KEY)
    cross = len(problems) - cross
    try:
        preset = Preset.model_validate(top.plain())
    except ValidationError as error:
        model_errors.explain(error, top, problems, without_top=cross > 0)
    problems.check()
    assert preset is not None
    own = is_shipped(path)
    return LoadedPreset(
        preset=preset,
        path=path,
        chain=chain,
        project=path.parent if _is_project(path) and not own else None,
        origins=MappingProxyType({at: node.mark for at, node in top.walk()}),
        shipped=own,
    )


def dump(preset: Preset) -> str:
    """The preset as YAML that loads to an equal preset from any file beside the files it names. Defaults are left
    out."""
    return yaml.dump(
        preset.model_dump(mode="json", exclude_defaults=True),
        Dumper=yaml.SafeDumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1_000_000,
    )


def _layers(path: Path, problems: Problems) -> tuple[tuple[Path, ...], list[Node]]:
    """The files from the root-most ancestor to `path`, and their trees less `extends`, with absolute paths."""
    chain: list[Path] = []
    layers: list[Node] = []
    real: list[Path] = []
    following: Path | None = path
    root = path.parent
    asked: Mark | None = None
    while following is not None:
        own = is_shipped(following)
        root = dirs.presets_dir() if own else root
        inside = root if not own and (asked or _is_project(path)) else None
        text = source.read(following, problems, asked=asked, inside=inside)
        chain.append(following)
        real.append(following.resolve())
        tree = parse.parse(text, problems)
        layer = host_paths.anchor(_less(tree, "extends"), following.parent, dirs.presets_dir(), problems)
        compose.check_duplicates(layer, problems)
        layers.append(_alternatives(layer, following.parent, root, problems))
        extends = tree.entries.get("extends")
        if extends is None or extends.value is None:
            break
        asked = extends.mark
        following = _parent(extends, following, root, problems)
        if following is not None and following.resolve() in real:
            names = [*chain[real.index(following.resolve()) :], following]
            cycle = " → ".join(display(name) for name in names)
            problems.stop(f"'extends' forms a circle: {cycle}", asked, hint="remove one of them")
        if len(chain) >= MAX_CHAIN and following is not None:
            problems.stop(f"more than {MAX_CHAIN} presets extend one another", asked, hint="put some of them together")
    return tuple(reversed(chain)), list(reversed(layers))


def _parent(extends: Node, path: Path, root: Path, problems: Problems) -> Path | None:
    """The file that `extends` means; stops when there is none, because nothing more can be checked."""
    text, mark = extends.value, extends.mark
    if not isinstance(text, str) or not text:
        problems.stop(
            f"'extends' takes a shipped preset's name or a path, not {given(text) if text != '' else 'nothing'}", mark,
            hint=_shipped_hint(""),
        )  # fmt: skip
    if "/" not in text and not text.endswith((".yaml", ".yml")):
        if text in shipped():
            return dirs.presets_dir() / text / SHIPPED_FILE
        problems.stop(f"unknown preset {quote(text)}", mark, hint=_shipped_hint(text))
    if text.startswith("/"):
        problems.stop("'extends' takes a path relative to this file", mark, hint="or a shipped preset's name")
    found = host_paths.locate(text, path.parent, root, mark, problems)
    if found is None:
        problems.check()
    return found


def _alternatives(top: Node, folder: Path, root: Path, problems: Problems) -> Node:
    """The tree with the paths among its `alternatives` made absolute; names of shipped presets stay."""

    def one(node: Node) -> Node:
        text = node.value
        if not isinstance(text, str) or not text:
            return node
        if "/" in text or text.endswith((".yaml", ".yml")):
            found = host_paths.locate(text, folder, root, node.mark, problems)
            return dataclasses.replace(node, value=str(found)) if found else node
        if text not in shipped():
            problems.add(f"unknown preset {quote(text)}", node.mark, hint=_shipped_hint(text))
        return node

    given_ = top.entries.get("alternatives")
    if given_ is None or not isinstance(given_.value, tuple):
        return top
    changed = dataclasses.replace(given_, value=tuple(one(node) for node in given_.value))
    return dataclasses.replace(top, value={**top.entries, "alternatives": changed})


def _in_folder(folder: Path) -> Path:
    for name in (PROJECT_FILE, SHIPPED_FILE):
        if (folder / name).is_file():
            return Path(_absolute(folder / name))
    try:
        if (folder / PROJECT_FILE).exists() or (folder / PROJECT_FILE).is_symlink():
            return Path(_absolute(folder / PROJECT_FILE))  # reading it reports its mistakes
        other = (folder / MISSPELT).exists()
    except OSError:
        other = False
    hint = f"rename {MISSPELT} to {PROJECT_FILE}" if other else f"make one: devenv init; or name a preset: {_names()}"
    raise PresetError(f"no {PROJECT_FILE} in {display(folder)}", hint=hint)


def _shipped_hint(word: str) -> str:
    near = nearest(word, shipped())
    return f"{near} shipped presets: {_names()}" if near else f"shipped presets: {_names()}; a path has a '/' in it"


def _names() -> str:
    return ", ".join(shipped()) or "none"


def _is_project(path: Path) -> bool:
    """A devenv.yaml is its folder's own; a preset of another name may be a link, because the user names that."""
    return path.name == PROJECT_FILE


def _less(node: Node, key: str) -> Node:
    return dataclasses.replace(node, value={name: value for name, value in node.entries.items() if name != key})


def is_shipped(path: Path) -> bool:
    """One of devenv's own presets."""
    return path.is_relative_to(dirs.presets_dir())


def _absolute(path: Path) -> str:
    """Without `..`, but with symbolic links as they are: a linked project stays where the user put it."""
    return os.path.abspath(path)  # noqa: PTH100


def default_name(path: Path) -> str:
    """From the folder for devenv.yaml and preset.yaml, else from the file; always a valid name."""
    said = path.parent.name if path.name in {PROJECT_FILE, SHIPPED_FILE} else path.stem
    name = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")[:40].strip("-")
    return name or f"env-{hashlib.sha256(str(path.parent).encode('utf-8', 'replace')).hexdigest()[:8]}"
