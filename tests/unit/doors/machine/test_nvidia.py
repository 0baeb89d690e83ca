"""Facts about NVIDIA's GPUs, from recorded trees and a stand-in for NVML."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from devenv.doors import process
from devenv.doors.machine import local
from devenv.doors.machine.gpu_usage import usage
from devenv.doors.machine.nvidia import look, parse_smi

DRIVER = "580.159.04"
SMI = "0, GPU-aaaa, NVIDIA H100 80GB HBM3, 81559, 580.159.04, 9.0, Disabled\n"


class NVMLError(Exception):
    pass


def nvml(*, mig: bool = False, gpus: int = 1, minors: tuple[int, ...] = (0, 1)) -> Any:
    """As much of NVML's module as is asked for."""
    part = types.SimpleNamespace(part=True)

    def memory(handle: Any) -> Any:
        return types.SimpleNamespace(total=5 << 30 if handle is part else 80 << 30, used=3 << 30)

    def place(_: int, number: int) -> Any:
        if number:
            raise NVMLError("not found")
        return part

    def minor(handle: int) -> int:
        return minors[handle]

    running = [types.SimpleNamespace(pid=7, usedGpuMemory=2 << 30), types.SimpleNamespace(pid=8, usedGpuMemory=None),
               types.SimpleNamespace(pid=9, usedGpuMemory=1 << 30)]  # fmt: skip
    return types.SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: DRIVER, nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
        nvmlDeviceGetCount=lambda: gpus, nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCudaComputeCapability=lambda _: (9, 0), nvmlDeviceGetMinorNumber=minor,
        nvmlDeviceGetMigMode=lambda _: (int(mig), int(mig)), nvmlDeviceGetMaxMigDeviceCount=lambda _: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=place, nvmlDeviceGetGpuInstanceId=lambda _: 3,
        nvmlDeviceGetComputeInstanceId=lambda _: 0, nvmlDeviceGetName=lambda _: "NVIDIA H100 80GB HBM3",
        nvmlDeviceGetUUID=lambda handle: "MIG-part" if handle is part else f"GPU-{handle}",
        nvmlDeviceGetMemoryInfo=memory, nvmlDeviceGetHandleByUUID=lambda uuid: int(uuid[-1]),
        nvmlDeviceGetUtilizationRates=lambda _: types.SimpleNamespace(gpu=42),
        nvmlDeviceGetComputeRunningProcesses=lambda _: running,
    )  # fmt: skip


def put(root: Path, name: str, data: bytes | str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a driver in an unusual folder, CUDA's compat libraries, and what an older driver left."""
    for node in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1", "nvidia-caps/nvidia-cap1"):
        put(tmp_path, f"dev/{node}")
    put(tmp_path, "proc/driver/nvidia/version",
        f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {DRIVER}  Release Build\n")  # fmt: skip
    put(tmp_path, "sys/bus/pci/devices/0000:00:06.0/class", "0x030200\n")
    put(tmp_path, "sys/bus/pci/devices/0000:00:06.0/vendor", "0x10de\n")
    for stem, soname in (("libcuda.so", "1"), ("libnvidia-ml.so", "1"), ("libnvidia-nvvm.so", "4")):
        put(tmp_path, f"usr/local/nvidia/lib64/{stem}.{DRIVER}", stem)
        (tmp_path / f"usr/local/nvidia/lib64/{stem}.{soname}").symlink_to(f"{stem}.{DRIVER}")
    put(tmp_path, "usr/local/cuda-13.0/compat/libcuda.so.580.95.05")
    put(tmp_path, "usr/lib/x86_64-linux-gnu/libcuda.so.535.10")
    put(tmp_path, "usr/bin/nvidia-smi", "#!/bin/sh\nexec /usr/local/nvidia/bin/nvidia-smi\n")
    put(tmp_path, "usr/local/nvidia/bin/nvidia-smi", b"\x7fELF")
    return tmp_path


def _look(root: Path, **changes: Any) -> Any:
    given = {"nvml": nvml, "smi": lambda _: SMI, "ldconfig": lambda: "", **changes}
    return look(root, **given)


def test_nvml_tells_first(root: Path) -> None:
    found = _look(root, nvml=lambda: nvml(gpus=2, minors=(1, 0)))
    assert (found.driver, found.cuda, found.source, found.problem) == (DRIVER, "13.0", "nvml", "")
    assert [(one.index, one.minor, one.capability) for one in found.gpus] == [(0, 1, "9.0"), (1, 0, "9.0")]
    assert found.pci == 1


def test_nvidia_smi_tells_when_nvml_does_not(root: Path) -> None:
    def broken() -> Any:
        raise OSError("no libnvidia-ml")

    found = _look(root, nvml=broken)
    assert (found.driver, found.source, found.gpus[0].memory_bytes) == (DRIVER, "nvidia-smi", 81559 << 20)


def test_when_neither_tells_the_reason_is_kept_and_the_kernels_version(root: Path) -> None:
    def broken() -> Any:
        raise OSError("Driver/library version mismatch")

    def no_smi(_: list[str]) -> str:
        raise process.ProcessError(process.Outcome(command=("nvidia-smi",), code=9, out="", err=""))

    found = _look(root, nvml=broken, smi=no_smi)
    assert (found.gpus, found.driver, found.problem) == ((), DRIVER, "Driver/library version mismatch")


def test_nothing_is_loaded_without_a_trace_of_a_gpu(tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("loaded")

    assert look(tmp_path, nvml=never).gpus == ()


def test_only_libraries_of_the_running_driver_count(root: Path) -> None:
    found = {one.source: one.names for one in _look(root).libraries}
    assert set(found) == {f"/usr/local/nvidia/lib64/{stem}.{DRIVER}" for stem in (
        "libcuda.so", "libnvidia-ml.so", "libnvidia-nvvm.so")}  # fmt: skip
    names = found[f"/usr/local/nvidia/lib64/libcuda.so.{DRIVER}"]
    assert {"libcuda.so", "libcuda.so.1", f"libcuda.so.{DRIVER}"} == set(names)


def test_libraries_in_a_folder_that_only_the_loader_knows(root: Path) -> None:
    put(root, f"srv/odd/libnvidia-ptxjitcompiler.so.{DRIVER}")
    cache = f"\tlibnvidia-ptxjitcompiler.so.1 (libc6,x86-64) => /srv/odd/libnvidia-ptxjitcompiler.so.{DRIVER}\n"
    names = [name for one in _look(root, ldconfig=lambda: cache).libraries for name in one.names]
    assert "libnvidia-ptxjitcompiler.so.1" in names


def test_a_script_in_front_of_a_program_is_passed_over(root: Path) -> None:
    assert _look(root).programs == ("/usr/local/nvidia/bin/nvidia-smi",)


def test_the_parts_of_a_cut_gpu_and_their_nodes(root: Path) -> None:
    folder = "proc/driver/nvidia/capabilities/gpu0/mig/gi3"
    put(root, f"{folder}/access", "DeviceFileMinor: 30\nDeviceFileMode: 292\n")
    put(root, f"{folder}/ci0/access", "DeviceFileMinor: 31\n")
    found = _look(root, nvml=lambda: nvml(mig=True)).gpus[0]
    assert found.mig_mode
    assert [(one.uuid, one.caps) for one in found.mig] == [
        ("MIG-part", ("/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"))
    ]


def test_cdi_specs_and_what_is_missing_of_them(root: Path) -> None:
    put(
        root,
        "etc/cdi/nvidia.yaml",
        """
cdiVersion: 0.6.0
kind: nvidia.com/gpu
devices:
  - {name: "0", containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}}
  - {name: all, containerEdits: {deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidia9}]}}
containerEdits:
  mounts: [{hostPath: /usr/lib/libcuda.so.1.2, containerPath: /x}]
""",
    )
    put(root, "etc/cdi/other.json", '{"kind": "acme.com/thing", "devices": []}')
    put(root, "etc/cdi/broken.yaml", "kind: [")
    (found,) = _look(root).cdi
    assert (found.path, found.devices) == ("/etc/cdi/nvidia.yaml", ("0", "all"))
    assert found.missing == ("/dev/nvidia9", "/usr/lib/libcuda.so.1.2")


@pytest.mark.parametrize("text", ["", "No devices were found\n", "NVIDIA-SMI has failed because …\n", "0, a, b\n"])
def test_what_nvidia_smi_says_instead_of_a_table(text: str) -> None:
    with pytest.raises(ValueError, match="nvidia-smi"):
        parse_smi(text)


def test_unified_memory_is_unknown_not_none() -> None:
    _, (found,) = parse_smi("0, GPU-a, NVIDIA GB10, [N/A], 580.95.05, 12.1, [N/A]\n")
    assert (found.memory_bytes, found.mig_mode) == (0, False)


def test_usage_counts_the_environments_own_processes() -> None:
    (found,) = usage(["GPU-0"], frozenset({7, 8}), nvml=nvml)
    assert (found.used_bytes, found.own_bytes, found.utilisation_percent) == (3 << 30, 2 << 30, 42)


def test_usage_without_a_driver_is_empty() -> None:
    def broken() -> Any:
        raise OSError("no driver")

    assert usage(["GPU-0"], frozenset(), nvml=broken) == ()


def test_other_makers_are_recognised(tmp_path: Path) -> None:
    put(tmp_path, "sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n")
    put(tmp_path, "sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n")
    assert local.other_gpus(tmp_path, "amd64") == ("AMD",)
    put(tmp_path, "proc/device-tree/compatible", "apple,j314s\0apple,t6001\0")
    assert local.other_gpus(tmp_path, "arm64") == ("AMD", "Apple")


def test_what_the_kernels_files_tell(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    8000 kB\n")
    put(tmp_path, "proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    put(tmp_path, "sys/fs/selinux/enforce", "1")
    put(tmp_path, "sys/module/apparmor/parameters/enabled", "Y\n")
    put(tmp_path, "etc/os-release", 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    put(tmp_path, ".dockerenv")
    assert local.memory(tmp_path) == (16000 * 1024, 8000 * 1024)
    assert local.is_wsl(tmp_path)
    assert local.selinux(tmp_path) == "enforcing"
    assert local.apparmor(tmp_path)
    assert local.in_container(tmp_path)
    assert local.distribution(tmp_path) == "Debian GNU/Linux 12"
    found = local.disk(tmp_path / "not" / "yet" / "there")
    assert found is not None
    assert found.path == str(tmp_path)
