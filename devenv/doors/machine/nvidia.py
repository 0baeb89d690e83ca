"""NVIDIA's GPUs and driver: NVML first, nvidia-smi second, then files on the disk."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devenv.doors import process
from devenv.doors.machine.local import NVIDIA_VENDOR, pci_displays, text
from devenv.doors.machine.model import Cdi, Gpu, Library, Mig, Node, Nvidia
from devenv.doors.untrusted import from_yaml

LIBRARIES = (
    "libcuda.so",
    "libcudadebugger.so",
    "libnvidia-ml.so",
    "libnvidia-cfg.so",
    "libnvidia-ptxjitcompiler.so",
    "libnvidia-nvvm.so",
    "libnvidia-nvvm70.so",
    "libnvidia-gpucomp.so",
    "libnvidia-allocator.so",
    "libnvidia-opencl.so",
    "libnvidia-pkcs11.so",
    "libnvidia-pkcs11-openssl3.so",
    "libnvidia-sandboxutils.so",
)
"""The libraries that NVIDIA's own toolkit puts into a container for `compute` and `utility`."""
NEEDED = ("libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so")
"""Nothing computes without these."""
FOLDERS = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "usr/local/nvidia/lib",
    "opt/nvidia/lib64",
    "run/opengl-driver/lib",
    "usr/lib/x86_64-linux-gnu/nvidia/current",
    "usr/lib64/nvidia",
    "usr/lib/nvidia",
    "home/kubernetes/bin/nvidia/lib64",
    "run/nvidia/driver/usr/lib64",
    "run/nvidia/driver/usr/lib/x86_64-linux-gnu",
)
"""Where distributions, cloud images and driver containers put the driver."""
WSL_FOLDER = "usr/lib/wsl/lib"
_PROGRAMS = ("nvidia-smi", "nvidia-debugdump")
_PROGRAM_FOLDERS = ("usr/bin", "usr/local/nvidia/bin", "opt/nvidia/bin", "usr/local/bin", "usr/lib/wsl/lib")
_SOCKETS = ("run/nvidia-persistenced/socket", "run/nvidia-fabricmanager/socket")
_CDI_FOLDERS = ("etc/cdi", "var/run/cdi")
_CDI_KIND = "nvidia.com/gpu"
_SMI_FIELDS = "index,uuid,name,memory.total,driver_version,compute_cap,mig.mode.current"


def look(
    root: Path = Path("/"),
    *,
    nvml: Callable[[], Any] | None = None,
    smi: Callable[[list[str]], str] | None = None,
    ldconfig: Callable[[], str] | None = None,
) -> Nvidia:
    """All facts. `nvml` loads the NVML module, `smi` runs nvidia-smi, `ldconfig` prints the loader's
    cache; tests give their own. Without any trace of a GPU nothing is loaded or run."""
    pci = pci_displays(root).count(NVIDIA_VENDOR)
    nodes = _nodes(root)
    traces = bool(pci or nodes or (root / "proc/driver/nvidia").exists())
    if not traces:
        return Nvidia()
    driver, cuda, source, problem = "", "", "", ""
    gpus: tuple[Gpu, ...] = ()
    try:
        driver, cuda, gpus = _by_nvml(root, (nvml or _load_nvml)())
        source = "nvml"
    except Exception as error:  # noqa: BLE001 - NVML's errors are many, and a broken driver raises any of them
        problem = str(error) or type(error).__name__
        with contextlib.suppress(OSError, process.ProcessError, process.TimeoutExpired, ValueError):
            driver, gpus = parse_smi((smi or _run_smi)([f"--query-gpu={_SMI_FIELDS}", "--format=csv,noheader,nounits"]))
            source, problem = "nvidia-smi", ""
    driver = driver or _kernel_driver(root)
    libraries = _libraries(root, driver, (ldconfig or _run_ldconfig)()) if driver or (root / "dev/dxg").exists() else ()
    return Nvidia(
        driver=driver,
        cuda=cuda,
        problem=problem,
        source=source,
        gpus=gpus,
        nodes=nodes,
        libraries=libraries,
        programs=tuple(_programs(root)),
        sockets=tuple(f"/{socket_path}" for socket_path in _SOCKETS if (root / socket_path).exists()),
        hook=any((root / folder / "nvidia-container-runtime-hook").exists() for folder in ("usr/bin", "usr/local/bin")),
        cdi=tuple(_cdi(root)),
        pci=pci,
        nouveau=(root / "sys/module/nouveau").exists(),
    )


def _load_nvml() -> Any:
    import pynvml

    return pynvml


def _by_nvml(root: Path, nvml: Any) -> tuple[str, str, tuple[Gpu, ...]]:
    nvml.nvmlInit()
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
        number = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
        gpus = tuple(_gpu(root, nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    finally:
        nvml.nvmlShutdown()
    return driver, f"{number // 1000}.{number % 1000 // 10}", gpus


def _gpu(root: Path, nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    node = index
    with contextlib.suppress(nvml.NVMLError):  # WSL has no nodes by number
        node = int(nvml.nvmlDeviceGetMinorNumber(handle))
    cut = False
    with contextlib.suppress(nvml.NVMLError):
        cut = bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    return Gpu(
        index=index,
        uuid=str(nvml.nvmlDeviceGetUUID(handle)),
        name=str(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        capability=f"{major}.{minor}",
        minor=node,
        mig=tuple(_parts(root, nvml, handle, node)) if cut else (),
        mig_mode=cut,
    )


def _parts(root: Path, nvml: Any, handle: Any, minor: int) -> Iterator[Mig]:
    for number in range(int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except nvml.NVMLError:
            continue  # this MIG slot is not used
        instance = nvml.nvmlDeviceGetGpuInstanceId(part)
        compute = nvml.nvmlDeviceGetComputeInstanceId(part)
        folder = root / f"proc/driver/nvidia/capabilities/gpu{minor}/mig/gi{instance}"
        files = (folder / "access", folder / f"ci{compute}" / "access")
        numbers = [found[1] for file in files if (found := re.search(r"DeviceFileMinor: (\d+)", text(file)))]
        yield Mig(
            uuid=str(nvml.nvmlDeviceGetUUID(part)),
            memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(part).total),
            caps=tuple(f"/dev/nvidia-caps/nvidia-cap{one}" for one in numbers),
        )


def parse_smi(printed: str) -> tuple[str, tuple[Gpu, ...]]:
    """(driver, GPUs) from nvidia-smi's CSV. Raises ValueError for anything else, such as its error texts."""
    gpus, driver = [], ""
    for line in printed.strip().splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 7 or not cells[0].isdigit():
            raise ValueError(f"nvidia-smi reports: {line}")
        index, uuid, name, memory, driver, capability, mig = cells
        mebibytes = int(memory) if memory.isdigit() else 0  # unified memory is `[N/A]`
        gpus.append(
            Gpu(
                index=int(index),
                uuid=uuid,
                name=name,
                memory_bytes=mebibytes * 1024**2,
                capability=capability,
                minor=int(index),
                mig_mode=mig == "Enabled",
            )
        )
    if not gpus:
        raise ValueError("nvidia-smi lists no GPU")
    return driver, tuple(gpus)


def _run_smi(arguments: list[str]) -> str:
    return process.run(["nvidia-smi", *arguments], timeout_s=10).out


def _run_ldconfig() -> str:
    for program in ("/sbin/ldconfig", "ldconfig"):
        with contextlib.suppress(OSError, process.ProcessError, process.TimeoutExpired):
            return process.run([program, "-p"], timeout_s=10).out
    return ""


def _kernel_driver(root: Path) -> str:
    """The version of the kernel's module: `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04`."""
    found = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text(root / "proc/driver/nvidia/version"))
    return found[1] if found else ""


def _nodes(root: Path) -> tuple[Node, ...]:
    folder = root / "dev"
    names = [
        *("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "dxg"),
        *sorted(path.name for path in folder.glob("nvidia[0-9]*")),
        *sorted(f"nvidia-caps/{path.name}" for path in folder.glob("nvidia-caps/nvidia-cap*")),
    ]
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            found.append(Node(path=f"/dev/{name}", mode=(folder / name).stat().st_mode & 0o777))
    return tuple(found)


def _libraries(root: Path, driver: str, cache: str) -> tuple[Library, ...]:
    """The driver's libraries, each once, as the real file with all names that link to it.

    Only files of the running driver's version count: CUDA's `compat` folders and stubs, and files left from an older
    driver, have the same names and would load.
    """
    wsl = root / WSL_FOLDER
    if (root / "dev/dxg").exists() and wsl.is_dir():
        names = sorted(one.name for one in wsl.iterdir() if ".so" in one.name)
        return tuple(Library(source=f"/{WSL_FOLDER}/{name}", names=(name,)) for name in names)
    cached = re.findall(r"=> (/\S+)/[^/\s]+$", cache, re.MULTILINE)
    folders = list(dict.fromkeys([*(root / one for one in FOLDERS), *(root / one.lstrip("/") for one in cached)]))
    found: dict[str, Library] = {}
    for folder in folders:
        for stem in LIBRARIES:
            path = folder / f"{stem}.{driver}"
            if stem not in found and path.is_file():
                real = path.resolve()
                names = [one.name for one in folder.glob(f"{stem}*") if one.resolve() == real]
                source = f"/{real.relative_to(root.resolve())}"
                found[stem] = Library(source=source, names=tuple(sorted({*names, path.name, *_SONAMES.get(stem, ())})))
    return tuple(found[stem] for stem in LIBRARIES if stem in found)


_SONAMES = {
    "libcuda.so": ("libcuda.so.1", "libcuda.so"),
    "libnvidia-ml.so": ("libnvidia-ml.so.1",),
    "libnvidia-ptxjitcompiler.so": ("libnvidia-ptxjitcompiler.so.1",),
    "libnvidia-nvvm.so": ("libnvidia-nvvm.so.4",),
}
"""Names that programs load by, whether the host has made these links or not (the toolkit's hook makes them)."""


def _programs(root: Path) -> Iterator[str]:
    """The real programs, because some cloud images put scripts of the same name before them."""
    for program in _PROGRAMS:
        files = [root / folder / program for folder in _PROGRAM_FOLDERS]
        found = next((file for file in files if file.is_file() and _is_binary(file)), None)
        if found:
            yield f"/{found.resolve().relative_to(root.resolve())}"


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _cdi(root: Path) -> Iterator[Cdi]:
    for folder in _CDI_FOLDERS:
        for path in sorted((root / folder).glob("*")) if (root / folder).is_dir() else ():
            if path.suffix in {".yaml", ".yml", ".json"} and (spec := _cdi_spec(path, root)):
                yield spec


def _cdi_spec(path: Path, root: Path) -> Cdi | None:
    try:
        spec = from_yaml(text(path))  # JSON is YAML
        if spec["kind"] != _CDI_KIND:
            return None
        edits = [
            spec.get("containerEdits") or {},
            *((device.get("containerEdits") or {}) for device in spec["devices"]),
        ]
        wanted = {str(mount["hostPath"]) for edit in edits for mount in edit.get("mounts") or ()}
        wanted |= {
            str(node.get("hostPath") or node["path"]) for edit in edits for node in edit.get("deviceNodes") or ()
        }
        names = tuple(str(device["name"]) for device in spec["devices"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    missing = tuple(sorted(one for one in wanted if not (root / one.lstrip("/")).exists()))
    return Cdi(path=f"/{path.relative_to(root)}", devices=names, missing=missing)
