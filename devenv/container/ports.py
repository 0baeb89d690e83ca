"""The host ports of environments: each environment keeps its ports for its life, and none uses another's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devenv.container.state import Environment
from devenv.doors.machine.ports import any_free_port, port_is_free


def choose_ports(wanted: tuple[int, ...], kept: Mapping[int, int], taken: frozenset[int]) -> dict[int, int]:
    """A free loopback port for each container port: the kept one where there is one, else a new one.

    `taken` are ports that other environments own even while they are stopped.
    """
    chosen = {inside: kept[inside] for inside in wanted if inside in kept}
    for inside in wanted:
        if inside not in chosen:
            chosen[inside] = _free(inside, taken | frozenset(chosen.values()))
    return chosen


def _free(preferred: int, taken: frozenset[int]) -> int:
    """`preferred` or one of the next hundred when free, else any: so that URLs stay easy to remember."""
    for port in range(max(preferred, 1024), min(max(preferred, 1024) + 100, 65536)):
        if port not in taken and port_is_free(port):
            return port
    while True:
        if (port := any_free_port()) not in taken:
            return port


def kept_ports(root: Path, but: str) -> frozenset[int]:
    """Every host port of an environment other than `but`, even without a container."""
    others = (Environment(name=path.name, folder=path) for path in root.glob("*") if path.name != but)
    return frozenset(outside for one in others for outside in one.ports().values())
