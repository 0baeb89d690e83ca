"""Which shipped preset a project extends, and its PyTorch, vLLM, CUDA and GPU: by the compatibility matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from devenv.adopt.facts.facts import Fact, Facts, Kind
from devenv.adopt.packages import Change, Wish
from devenv.compat.build_variant import built_for
from devenv.compat.matrix import Matrix
from devenv.compat.versions import numbers
from devenv.preset.model import Preset
from devenv.preset.yaml.nodes import Mark

_TORCH = frozenset({
    "accelerate", "bitsandbytes", "clip-anytorch", "deepspeed", "diffusers", "easyocr", "fairscale", "fastai",
    "flash-attn", "kornia", "lightning", "lpips", "monai", "open-clip-torch", "openai-whisper", "peft",
    "pytorch-lightning", "pytorch3d", "sentence-transformers", "sglang", "stable-baselines3", "timm", "torch",
    "torch-geometric", "torchaudio", "torchmetrics", "torchtext", "torchvision", "trl", "ultralytics", "unsloth",
    "vllm", "whisperx", "xformers",
})  # fmt: skip
"""Packages that bring PyTorch, which a preset pins."""
_BESIDE = ("torchvision", "torchaudio")
"""Packages that are built for one PyTorch."""
_OF_PRESETS = ("torchvision", "transformers")
"""Packages that the GPU presets pin for their own versions of PyTorch and vLLM."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the new preset: its value (None: null, so that nothing is inherited) and a comment."""

    value: str | Mapping[str, str] | None
    comment: str = ""


@dataclasses.dataclass(slots=True, kw_only=True)
class Accelerator:
    """The preset to extend, its changed keys, the packages that keys replace, and entries to add. `marks`: the place
    that decided a key."""

    extends: str = "python"
    why: str = ""
    settings: dict[str, Setting] = dataclasses.field(default_factory=dict)
    replaced: set[str] = dataclasses.field(default_factory=set)
    added: dict[str, str] = dataclasses.field(default_factory=dict)
    changes: list[Change] = dataclasses.field(default_factory=list)
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Project:
    """What decides: the wishes by name, the CUDA that the author decided, the shipped presets and the matrix."""

    wishes: Mapping[str, Wish]
    cuda: Fact | None
    presets: Mapping[str, Preset]
    matrix: Matrix


def decide(wishes: Mapping[str, Wish], facts: Facts, presets: Mapping[str, Preset], matrix: Matrix) -> Accelerator:
    """Pure. `presets`: the shipped ones by name."""
    found = Accelerator()
    project = _Project(wishes=wishes, cuda=_cuda(wishes, facts, found), presets=presets, matrix=matrix)
    if "vllm" in wishes:
        _vllm(wishes["vllm"], presets, matrix, found)
        _torch_of_vllm(wishes.get("torch"), presets[found.extends], found)
    elif needs := next(
        (name for name in sorted(wishes, key=lambda name: name not in {"torch"}) if name in _TORCH), None
    ):
        _torch(needs, project, found)
    gpu = _gpu(facts)
    if found.extends == "python":
        if gpu is not None and gpu.value == "true":
            found.settings["gpu"] = Setting(value={}, comment=gpu.mark.where)
            found.marks["gpu"] = gpu.mark
    elif found.extends not in {"pytorch-cpu", "vllm", "vllm-cu12"} and (gpu is None or gpu.value == "false"):
        found.settings["gpu"] = Setting(value={"required": "false"}, comment="no file says that a GPU is needed")
    _unpinned(wishes, presets[found.extends], found)
    return found


def _gpu(facts: Facts) -> Fact | None:
    """The statement about GPUs that counts: a firm one before a guess, `true` before `false`."""
    every = sorted(facts.of(Kind.GPU), key=lambda fact: (not fact.firm, fact.value != "true"))
    return every[0] if every else None


def _cuda(wishes: Mapping[str, Wish], facts: Facts, found: Accelerator) -> Fact | None:
    """The CUDA (or `cpu`) that the author decided; a local version (`2.3.1+cu121`) before an index's address."""
    for name in ("torch", *_BESIDE):
        wish = wishes.get(name)
        if wish is not None and wish.version and (variant := built_for(wish.version)):
            return Fact(kind=Kind.CUDA, value=variant, mark=wish.mark)
    firm = [fact for fact in facts.of(Kind.CUDA) if fact.firm and fact.value]
    for other in firm[1:]:
        if other.value != firm[0].value:
            why = f"{firm[0].mark.where} has {firm[0].value}"
            found.changes.append(
                Change(
                    asked=f"builds for {other.value}", written=f"builds for {firm[0].value}", why=why, mark=other.mark
                )
            )
    return firm[0] if firm else None


def _vllm(wish: Wish, presets: Mapping[str, Preset], matrix: Matrix, found: Accelerator) -> None:
    version = wish.version or next(
        (own for name in ("vllm", "vllm-cu12") if (own := presets[name].vllm) and wish.specifier.contains(own)), None
    )
    row = matrix.for_vllm(version) if version else None
    found.extends = "vllm" if row is None or numbers(row.cuda)[0] >= 13 else "vllm-cu12"
    found.why = f"{wish.text} ({wish.mark.where})"
    found.marks["vllm"] = wish.mark
    preset = presets[found.extends]
    if version is None:
        found.settings["vllm"] = Setting(value=None, comment="'pip' has it")
        found.settings["torch"] = Setting(value=None, comment="the one that vLLM needs")
        return
    found.replaced.add("vllm")
    if version != preset.vllm:
        found.settings["vllm"] = Setting(value=version, comment=wish.mark.where)
        found.added["transformers"] = "any that this vLLM allows"
    elif wish.text != f"vllm=={version}":
        found.changes.append(
            Change(asked=wish.text, written=f"vllm: {version}", why="the preset's own", mark=wish.mark)
        )
    if row is not None and row.torch != preset.torch:
        found.settings["torch"] = Setting(value=row.torch, comment=f"the one that vLLM {version} needs")
        found.added["torchvision"] = "the one for this PyTorch"
    if row is not None and row.cuda != preset.cuda:
        found.settings["cuda"] = Setting(value=row.cuda, comment=f"the CUDA of vLLM {version}")


def _torch_of_vllm(wish: Wish | None, preset: Preset, found: Accelerator) -> None:
    """A PyTorch that is asked for beside vLLM: a pinned one is written, so that the matrix can judge it."""
    if wish is None or found.settings.get("torch", Setting(value="")).value is None:
        return
    chosen = str(found.settings["torch"].value) if "torch" in found.settings else str(preset.torch)
    found.replaced.add("torch")
    found.marks["torch"] = wish.mark
    if wish.version is not None or not wish.specifier.contains(chosen):
        version = wish.version or next(iter(wish.specifier)).version.removesuffix(".*")
        found.settings["torch"] = Setting(value=version.partition("+")[0], comment=wish.mark.where)
    elif wish.specifier:
        why = "the one that vLLM needs"
        found.changes.append(Change(asked=wish.text, written=f"torch: {chosen}", why=why, mark=wish.mark))


def _torch(needs: str, project: _Project, found: Accelerator) -> None:
    """`needs`: the package that brings PyTorch."""
    wishes, cuda = project.wishes, project.cuda
    wish = wishes.get("torch")
    cpu = cuda is not None and cuda.value == "cpu"
    found.extends = "pytorch-cpu" if cpu else "pytorch-cuda"
    found.why = f"{wishes[needs].text} ({wishes[needs].mark.where})"
    if cpu:
        assert cuda is not None
        found.why += f", for the CPU ({cuda.mark.where})"
    preset = project.presets[found.extends]
    own = (preset.torch or "").partition("+")[0]
    version = _version(wish, own, project)
    if wish is not None:
        found.marks["torch"] = wish.mark
        found.replaced.add("torch")
    if version is None:
        assert wish is not None
        found.replaced.discard("torch")
        found.settings["torch"] = Setting(
            value=None, comment="'pip' has it: the compatibility matrix knows no such version"
        )
        if not cpu:
            found.settings["cuda"] = Setting(value=None, comment="the one of PyTorch's own wheels")
        return
    if wish is not None and wish.version is None:
        found.changes.append(
            Change(
                asked=wish.text, written=f"torch: {version}", why="a preset has one version of PyTorch", mark=wish.mark
            )
        )
    _variant(version, own, project, found)


def _version(wish: Wish | None, own: str, project: _Project) -> str | None:
    """The exact PyTorch: the pinned one, that of a pinned torchvision or torchaudio, the preset's own where it is
    allowed, else the newest of the matrix that is; None where there is none."""
    if wish is not None and wish.version:
        return wish.version.partition("+")[0]
    specifier = wish.specifier if wish is not None else SpecifierSet()
    beside = next((found for name in _BESIDE if (found := _partner(name, project.wishes.get(name)))), None)
    if beside is not None and specifier.contains(beside):
        return beside
    wanted = project.cuda.value if project.cuda is not None and project.cuda.value != "cpu" else ""
    if specifier.contains(own) and _has_build(own, wanted, project.matrix):
        return own
    for row in reversed(project.matrix.torch):
        if wanted and wanted not in (row.cuda, *row.variants):
            continue
        minor = row.versions.removeprefix("==").removesuffix(".*").removeprefix(">=").partition(",")[0]
        for patch in (0, 1):
            if specifier.contains(f"{minor}.{patch}"):
                return f"{minor}.{patch}"
    return None


def _has_build(version: str, cuda: str, matrix: Matrix) -> bool:
    """Whether a PyTorch has a build for a CUDA; an unknown one may have any."""
    row = matrix.for_torch(version)
    return not cuda or row is None or cuda in (row.cuda, *row.variants)


def _partner(name: str, wish: Wish | None) -> str | None:
    """The PyTorch of an exact torchvision (0.N+15 is 2.N) or torchaudio (the same version)."""
    if wish is None or not wish.version:
        return None
    release = numbers(wish.version.partition("+")[0])
    if name == "torchaudio" and len(release) >= 3 and release >= (0, 12):
        return ".".join(map(str, release[:3])) if release[0] >= 2 else None
    if name == "torchvision" and len(release) >= 3 and release[:2] >= (0, 15):
        return f"2.{release[1] - 15}.{release[2]}"
    return None


def _variant(version: str, own: str, project: _Project, found: Accelerator) -> None:
    """The keys `torch` and `cuda`."""
    wish, cuda = project.wishes.get("torch"), project.cuda
    row = project.matrix.for_torch(version)
    comment = wish.mark.where if wish is not None else "the one of torchvision or torchaudio"
    if version != own:
        found.added |= {
            name: "the one for this PyTorch" for name in ("torchvision",) if found.extends == "pytorch-cuda"
        }
    if found.extends == "pytorch-cpu":
        if version != own:
            found.settings["torch"] = Setting(value=f"{version}+cpu", comment=comment)
        return
    if version != own:
        found.settings["torch"] = Setting(value=version, comment=comment)
    wanted = cuda.value if cuda is not None and cuda.value[:1].isdigit() else row.cuda if row is not None else None
    if cuda is not None and row is not None and wanted and wanted != row.cuda and wanted in row.variants:
        found.settings["torch"] = Setting(value=f"{version}+cu{wanted.replace('.', '')}", comment=cuda.mark.where)
        found.changes.append(Change(
            asked=f"builds for CUDA {wanted}", written=f"torch: {version}+cu{wanted.replace('.', '')}",
            why="only PyTorch's own index has them: pip config set global.extra-index-url ADDRESS", mark=cuda.mark,
        ))  # fmt: skip
    if version != own or cuda is not None:
        comment = cuda.mark.where if cuda is not None else f"the CUDA of PyTorch {version}"
        if wanted is None:
            comment = "the one of PyTorch's own wheels"
        found.settings["cuda"] = Setting(value=wanted, comment=comment)
        if cuda is not None:
            found.marks["cuda"] = cuda.mark


def _unpinned(wishes: Mapping[str, Wish], preset: Preset, found: Accelerator) -> None:
    """What the preset pins for its own PyTorch, and this project does not, gets no pin where that PyTorch changes."""
    pinned = {canonicalize_name(text.partition("==")[0]) for text in preset.pip}
    for name in tuple(found.added):
        if name in wishes or name not in pinned or name not in _OF_PRESETS:
            del found.added[name]


def without_local(wishes: Iterable[Wish]) -> Iterable[Wish]:
    """torchvision and torchaudio without `+cu121`: the one for this PyTorch is found by its version."""
    for wish in wishes:
        if wish.name in _BESIDE and wish.version and "+" in wish.version:
            yield wish.with_version(SpecifierSet(f"=={wish.version.partition('+')[0]}"))
        else:
            yield wish
