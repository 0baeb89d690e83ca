"""The Docker Engine's facts as a value. A module of its own, because a warm start needs no other fact."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """The Docker Engine, from its `info` and `version`. `problem` and `remedy` when there is no usable one."""

    address: str = ""
    problem: str = ""
    remedy: str = ""
    version: str = ""
    kind: str = "docker"  # docker | podman
    remote: bool = False  # on another machine: facts about this machine do not apply to it
    rootless: bool = False
    user_remapped: bool = False
    storage: str = ""  # overlay2, vfs, overlayfs (containerd), …
    backing: str = ""  # the file system below it
    root: str = ""  # where it keeps images and volumes
    cgroup_version: str = ""
    memory_limit: bool = True
    buildx: str = ""
    buildx_problem: str = ""
    runtimes: tuple[str, ...] = ()
    cdi_folders: tuple[str, ...] = ()  # where it looks for CDI specs; empty when it does not
    security: tuple[str, ...] = ()
    architecture: str = ""
    memory_bytes: int = 0
