"""Facts to the content of a new preset, decided: every key with its comment. Pure but for the shipped presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from devenv.adopt import accelerator, bases, follow_project, notebooks, packages, pip_entries, places, releases
from devenv.adopt.accelerator import Accelerator, Setting
from devenv.adopt.facts.facts import Facts, Kind, Loss
from devenv.adopt.packages import Change, Entry, Wish
from devenv.compat.matrix import Matrix
from devenv.preset.model import Preset
from devenv.preset.pyproject import FILE
from devenv.preset.yaml.nodes import Mark
from devenv.preset.yaml.problems import Problems


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A new preset's content."""

    extends: str
    why: str
    settings: Mapping[str, Setting]
    lists: Mapping[str, tuple[Entry, ...]]
    """`project`, `pip`, `apt`, `env`, `ports`, `volumes`, `setup`."""
    changes: tuple[Change, ...]
    left: tuple[Loss, ...]
    marks: Mapping[str, Mark]
    """The place that decided a key: for the compatibility matrix's verdict."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of this machine a choice depends on: its processors, and the releases that its apt settings name."""

    arch: str
    releases: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What versions are judged by: the shipped presets by name, and the compatibility matrix."""

    presets: Mapping[str, Preset]
    matrix: Matrix


def choose(
    facts: Facts, known: Known, machine: Machine, problems: Problems, *, follow: Sequence[Path] = (), folder: Path
) -> Choice:
    """The content; mistakes, and what cannot be true together, go to `problems`. `follow`: the requirements files and
    the pyproject.toml that were read, which the preset names instead of their packages where it can; `folder`: where
    the preset will lie."""
    chosen = bases.choose(facts, lambda python: _misfits(facts, python, machine.arch), problems, machine.releases)
    python = chosen.base.python
    found = packages.gather(facts, python, machine.arch, problems)
    device = accelerator.decide(found.wishes, facts, known.presets, known.matrix)
    wishes = {wish.name: wish for wish in accelerator.without_local(found.wishes.values())}
    parent = known.presets[device.extends]
    settings = {**_base(chosen, parent), **device.settings}
    changes, left = [*found.changes, *device.changes, *_of_python(chosen)], list(facts.left)
    changes += _of_conda(facts, chosen, device, parent)
    marks = device.marks | ({"python": chosen.asked.mark} if chosen.asked is not None else {})
    added = device.added | _releases(wishes, device, python, problems)
    changes += _notebooks(wishes, parent, python, settings, (device.replaced, added))
    own = next(iter(facts.of(Kind.PROJECT)), None) if not chosen.refused else None
    for kind, key in ((Kind.MEMORY, "memory"), (Kind.SHM, "shm_size")):
        for fact in facts.of(kind)[:1]:
            settings[key] = Setting(value=fact.value, comment=fact.mark.where)
    there = packages.environment(python, machine.arch)
    project = None
    if folder / FILE in follow:
        groups = {fact.value for fact in facts.of(Kind.GROUP)}
        project = follow_project.followed(
            wishes, _keys(device.replaced, settings, parent), own, groups, (folder, there)
        )
    if project is not None:
        wishes = {name: wish for name, wish in wishes.items() if name not in project.covered}
    files = [path for path in follow if path.name != FILE]
    lists = {
        "project": (project.entry,) if project is not None else (),
        "pip": pip_entries.entries(
            wishes, device.replaced, added, own if project is None else None, (files, folder, there)
        ),
        "apt": places.apt(facts),
        "env": places.variables(facts, parent, left),
        "ports": places.ports(facts, parent, settings, left),
        "volumes": places.volumes(facts, left),
        "setup": places.setup(facts, chosen, left, follows=project is not None),
    }
    return Choice(
        extends=device.extends, why=device.why, settings=settings, lists=lists, changes=tuple(dict.fromkeys(changes)),
        left=tuple(left), marks=marks,
    )  # fmt: skip


def _of_conda(facts: Facts, chosen: bases.Chosen, device: Accelerator, parent: Preset) -> Iterator[Change]:
    """What became of conda's packages that stand for Python and CUDA (such facts have the package as their name)."""
    for fact in facts.of(Kind.PYTHON):
        if fact.name and (fact != chosen.asked or not chosen.why):
            written = f"Python {chosen.base.python}"
            yield Change(asked=fact.name, written=written, why="taken as the version of Python", mark=fact.mark)
    cuda = device.settings["cuda"].value if "cuda" in device.settings else parent.cuda
    for fact in facts.of(Kind.CUDA):
        if not fact.name:
            continue
        if fact.value == "cpu" or not isinstance(cuda, str):
            written = "builds for the CPU" if device.extends == "pytorch-cpu" else ""
            why = "PyTorch's builds are without CUDA" if written else "packages bring the CUDA that they need"
        else:
            written = f"CUDA {cuda}"
            fits = cuda.startswith(fact.value) or not fact.value
            why = "taken as the version of CUDA" if fits else "the CUDA of the chosen PyTorch"
        yield Change(asked=fact.name, written=written, why=why, mark=fact.mark)


def _keys(replaced: set[str], settings: Mapping[str, Setting], parent: Preset) -> dict[str, str]:
    """The packages that keys of the new preset bring, with their versions."""
    lab = parent.jupyter.version if parent.jupyter else ""
    keys = {"torch": parent.torch or "", "vllm": parent.vllm or "", "jupyterlab": lab}
    for name, key in (("torch", "torch"), ("vllm", "vllm"), ("jupyterlab", "jupyter")):
        if key in settings:
            value = settings[key].value
            keys[name] = value if isinstance(value, str) else (value or {}).get("version", "")
    return {name: keys.get(name, "") for name in replaced}


def _misfits(facts: Facts, python: str, arch: str) -> int:
    """How many pinned packages have no wheel for a Python."""
    found = packages.gather(facts, python, arch, Problems(Path()))
    return sum(releases.misfit(wish, python) is not None for wish in found.wishes.values())


def _base(chosen: bases.Chosen, parent: Preset) -> dict[str, Setting]:
    """The keys of another base than the preset's."""
    if chosen.base.bootstrap == parent.base.bootstrap:
        return {}
    python, why = chosen.base.python, chosen.asked.mark.where if chosen.asked else "for the pinned packages"
    return {
        "base": Setting(value={"bootstrap": chosen.base.bootstrap}, comment=f"it has Python {python}"),
        "python": Setting(value=python, comment=why),
    }


def _of_python(chosen: bases.Chosen) -> list[Change]:
    """The change of a Python that is not the one that was asked for."""
    if chosen.asked is None or not chosen.why:
        return []
    asked, written = f"Python {chosen.asked.value}", f"Python {chosen.base.python}"
    return [Change(asked=asked, written=written, why=chosen.why, mark=chosen.asked.mark)]


def _releases(wishes: Mapping[str, Wish], device: Accelerator, python: str, problems: Problems) -> dict[str, str]:
    """Pinned releases judged by the tables; what they need besides. The matrix judges PyTorch and vLLM."""
    for wish in wishes.values():
        if wish.name not in {"torch", "vllm"} and (why := releases.misfit(wish, python)):
            problems.add(why[0], wish.mark, hint=why[1])
    pinned = {name: wish.version for name, wish in wishes.items() if wish.version and not wish.other}
    if (torch := device.settings.get("torch")) is not None and isinstance(torch.value, str):
        pinned["torch"] = torch.value
    return releases.needs(pinned, wishes, problems)


def _notebooks(
    wishes: Mapping[str, Wish], parent: Preset, python: str, settings: dict[str, Setting],
    lists: tuple[set[str], dict[str, str]],
) -> list[Change]:  # fmt: skip
    """Decide about JupyterLab in `settings`, and in `lists`: the packages that a key brings, those that are added."""
    replaced, added = lists
    books = notebooks.decide(wishes, python, parent.jupyter.version if parent.jupyter else "")
    if books.jupyter != "":
        value: str | Mapping[str, str] | None = {"version": books.jupyter} if books.jupyter else None
        settings["jupyter"] = Setting(value=value, comment=books.comment)
    if books.kernel and "ipykernel" not in wishes:
        added["ipykernel"] = books.kernel
    if books.jupyter is None or "jupyterlab" not in wishes:
        return list(books.changes)
    replaced.add("jupyterlab")
    lab = wishes["jupyterlab"]
    if books.jupyter:
        return list(books.changes)
    return [Change(asked=lab.text, written="the preset's JupyterLab", why="it has one", mark=lab.mark)]
