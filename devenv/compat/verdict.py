"""Whether a preset's Python, PyTorch, vLLM and CUDA can work together; and if not, the nearest that do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devenv.compat.build_variant import built_for
from devenv.compat.versions import allows, numbers

if TYPE_CHECKING:
    from devenv.compat.matrix import Matrix, TorchRow, VllmRow
    from devenv.preset.load import LoadedPreset
    from devenv.preset.model import Preset
    from devenv.preset.yaml.nodes import Mark


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Two keys of a preset whose values cannot work together, or (`unknown`) that are not in the matrix.

    `key` is what to change, `hint` the nearest value that works, `source` the row's.
    """

    key: str
    message: str
    hint: str
    unknown: bool = False
    source: str = ""


def clashes(preset: Preset, matrix: Matrix) -> tuple[Clash, ...]:
    """Every combination of the preset's that cannot work, and every version that is unknown. Pure."""
    found: list[Clash] = []
    torch_version = pinned(preset, "torch")
    vllm_version = pinned(preset, "vllm")
    vllm = matrix.for_vllm(vllm_version) if vllm_version else None
    torch = matrix.for_torch(torch_version) if torch_version else None
    if vllm_version and vllm is None:
        found.append(_unknown("vllm", vllm_version))
    if torch_version and torch is None:
        found.append(_unknown("torch", torch_version))
    if vllm_version and vllm:
        found += _vllm(preset, vllm_version, vllm, torch_version, matrix)
    if torch_version and torch:
        found += _torch(preset, torch_version, torch, vllm is not None, matrix)
    if preset.cuda and matrix.for_cuda(preset.cuda) is None:
        found.append(_unknown("cuda", preset.cuda))
    return tuple(found)


def pinned(preset: Preset, name: str) -> str | None:
    """The exact version of a package that a preset asks for, by its own key (`torch`, `vllm`) or among `pip`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    from devenv.preset.own_wheel import own_wheel

    if own := getattr(preset, name, None):
        return str(own)
    for text in preset.pip:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"python_version": preset.python}):
            continue
        exact = [
            specifier
            for specifier in requirement.specifier
            if specifier.operator in {"==", "==="} and "*" not in specifier.version
        ]
        if canonicalize_name(requirement.name) != name:
            continue
        if own := own_wheel(text):
            return own.version
        if exact:
            return exact[0].version
    return None


def cuda_of(preset: Preset, matrix: Matrix) -> str | None:
    """The CUDA of the preset's wheels, as far as pins decide it."""
    if preset.cuda:
        return ".".join(preset.cuda.split(".")[:2])
    if variant := built_for(pinned(preset, "torch") or ""):
        return variant if variant[0].isdigit() else None
    if (version := pinned(preset, "vllm")) and (vllm := matrix.for_vllm(version)):
        return vllm.cuda
    if (version := pinned(preset, "torch")) and (torch := matrix.for_torch(version)):
        return torch.cuda
    return None


def refuse(loaded: LoadedPreset, matrix: Matrix) -> tuple[str, ...]:
    """Raise PresetError with each clash at its line and column; returns, in words, the unknown versions."""
    from devenv.preset.yaml.problems import Problems

    problems, unknown = Problems(loaded.path), []
    for clash in clashes(loaded.preset, matrix):
        if clash.unknown:
            unknown.append(f"{clash.message}; {clash.hint}")
            continue
        mark = loaded.origins.get((clash.key,)) or _in_pip(loaded, clash.key) or loaded.origins.get(())
        problems.add(clash.message, mark, hint=clash.hint)
    problems.check()
    return tuple(unknown)


def _in_pip(loaded: LoadedPreset, name: str) -> Mark | None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for number, text in enumerate(loaded.preset.pip):
        if canonicalize_name(Requirement(text).name) == name:
            return loaded.origins.get(("pip", number))
    return None


def _vllm(preset: Preset, version: str, row: VllmRow, torch: str | None, matrix: Matrix) -> list[Clash]:
    found = []
    if torch and _short(torch) != _short(row.torch):
        other = next((one for one in reversed(matrix.vllm) if _short(one.torch) == _short(torch)), None)
        choice = f", or vllm {_range(other.versions)}, which goes with torch {torch}" if other else ""
        found.append(
            Clash(
                key="torch",
                source=row.source,
                message=f"vllm {version} needs torch {row.torch}, not {torch}",
                hint=f"nearest that works: torch: '{row.torch}'{choice}",
            )
        )
    if preset.cuda and numbers(preset.cuda)[:2] != numbers(row.cuda):
        other = _nearest(matrix, version, preset.cuda)
        choice = f", or vllm {_range(other.versions)}, which is built for CUDA {other.cuda}" if other else ""
        found.append(
            Clash(
                key="cuda",
                source=row.source,
                message=f"vllm {version} is built for CUDA {row.cuda}, not {preset.cuda}",
                hint=f"nearest that works: cuda: '{row.cuda}'{choice}",
            )
        )
    if not allows(row.python, f"{preset.python}.0"):
        found.append(_python("vllm", version, row.python, row.source, preset.python))
    return found


def _nearest(matrix: Matrix, version: str, cuda: str) -> VllmRow | None:
    """The row for that CUDA whose place in the list is nearest to the version's own."""
    rows = list(matrix.vllm)
    own = next((at for at, one in enumerate(rows) if one.holds(version)), 0)
    fitting = [at for at, one in enumerate(rows) if numbers(one.cuda) == numbers(cuda)[:2]]
    return rows[min(fitting, key=lambda at: abs(at - own))] if fitting else None


def _torch(preset: Preset, version: str, row: TorchRow, with_vllm: bool, matrix: Matrix) -> list[Clash]:
    found = []
    variant = built_for(version)
    if preset.cuda and variant and numbers(variant)[:2] != numbers(preset.cuda)[:2]:
        what = f"CUDA {variant}" if variant[0].isdigit() else {"cpu": "the CPU"}.get(variant, variant)
        message = f"torch {version} is built for {what}, not for CUDA {preset.cuda}"
        hint = f"nearest that works: torch: '{version.partition('+')[0]}', or leave 'cuda' out"
        return [Clash(key="torch", message=message, hint=hint, source=row.source)]
    offered = sorted({row.cuda, *row.variants}, key=numbers)
    # With vLLM its own row has checked CUDA already.
    if preset.cuda and not with_vllm and numbers(preset.cuda)[:2] not in map(numbers, offered):
        wanted = numbers(preset.cuda)[:2]
        nearest = min(offered, key=lambda one: (abs(numbers(one)[0] - wanted[0]), abs(numbers(one)[1] - wanted[1])))
        other = next((one for one in reversed(matrix.torch) if wanted in map(numbers, (one.cuda, *one.variants))), None)
        choice = f", or torch {_range(other.versions)}, which is built for CUDA {preset.cuda}" if other else ""
        message = f"torch {version} is not built for CUDA {preset.cuda}, but for {', '.join(offered)}"
        found.append(
            Clash(
                key="cuda",
                message=message,
                hint=f"nearest that works: cuda: '{nearest}'{choice}",
                unknown=row.open,
                source=row.source,
            )
        )
    if not allows(row.python, f"{preset.python}.0"):
        found.append(_python("torch", version, row.python, row.source, preset.python))
    return found


def _python(name: str, version: str, python: str, source: str, asked: str) -> Clash:
    minors = [f"3.{minor}" for minor in range(30) if allows(python, f"3.{minor}.0")]
    own = int(asked.partition(".")[2])
    nearest = min(minors, key=lambda one: abs(int(one.partition(".")[2]) - own))
    message = f"{name} {version} has wheels for Python {minors[0]} to {minors[-1]}, not {asked}"
    return Clash(key="python", message=message, hint=f"nearest that works: python: '{nearest}'", source=source)


def _unknown(key: str, version: str) -> Clash:
    return Clash(
        key=key,
        unknown=True,
        message=f"{key} {version} is not in the compatibility matrix",
        hint="try it; or describe it with a row in compatibility.yaml of devenv's configuration folder",
    )


def _short(version: str) -> tuple[int, ...]:
    return numbers(version.partition("+")[0])[:3]


def _range(specifier: str) -> str:
    """A specifier for people: `>=0.9,<0.10` → `0.9 to before 0.10`."""
    low, _, high = specifier.partition(",")
    low = low.removeprefix(">=").removeprefix("==")
    return f"{low} to before {high.removeprefix('<')}" if high else low
