"""Findings about engine, disk, memory and the system around them."""

from __future__ import annotations

from collections.abc import Iterator

from devenv.doctor.finding import Finding, Needs, blocker, ok, warning
from devenv.doors.docker.engine import MIN_ENGINE
from devenv.doors.machine.engine_facts import EngineFacts
from devenv.doors.machine.model import Disk, Machine

_SLOW_STORAGE = {
    "vfs": "copies whole layers",
    "devicemapper": "was dropped from Docker",
    "aufs": "was dropped from Docker",
}
_SPARE_BYTES = 2_000_000_000
"""Memory that the system and the environments need besides."""


def engine(machine: Machine, *, full: bool) -> Iterator[Finding]:
    """Findings about the engine; with `full` also those that `up` makes by itself."""
    facts = machine.engine
    if facts is None:
        return
    if machine.system not in {"Linux", ""}:
        yield warning(
            "system",
            f"devenv is made for Linux; this is {machine.system}",
            "use a Linux machine, or a Linux virtual machine with Docker in it",
        )
    if facts.problem:
        yield blocker("engine.present", facts.problem, facts.remedy)
        return
    name = f"{'podman' if facts.kind == 'podman' else 'Docker'} {facts.version}"
    numbers = tuple(int(part) for part in facts.version.split(".")[:2] if part.isdigit())
    if facts.kind == "docker" and numbers and numbers < MIN_ENGINE:
        yield blocker(
            "engine.version",
            f"{name} is too old: devenv needs {MIN_ENGINE[0]}.{MIN_ENGINE[1]} or newer",
            "update Docker: your distribution's docker.io package, or 'make engine' in a checkout",
        )
    elif full:
        yield ok("engine.version", f"{name} answers at {facts.address}")
    if full:
        yield _buildx(facts)
        yield _storage(facts)
        yield from _limits(facts)
    if facts.remote:
        yield blocker(
            "engine.remote",
            f"the engine at {facts.address} is on another machine, and devenv mounts folders of this one",
            "run devenv there (ssh), or: docker context use default",
        )
    if facts.kind == "podman":
        yield warning(
            "engine.podman",
            "podman's Docker interface is used: building needs buildx, which podman does not include",
            "install Docker, to build too: 'make engine' in a checkout",
        )
    yield from users(facts)


def users(facts: EngineFacts) -> Iterator[Finding]:
    """Whether a container's user can be the host's user."""
    if facts.user_remapped and not facts.rootless:
        yield blocker(
            "engine.users",
            "the engine remaps users: containers can neither read the environment's token nor write in a project",
            'remove "userns-remap" from /etc/docker/daemon.json, then: sudo systemctl restart docker',
        )


def _buildx(facts: EngineFacts) -> Finding:
    if facts.buildx_problem:
        what, _, remedy = facts.buildx_problem.partition("; ")
        return blocker("engine.buildx", what, remedy)
    return ok("engine.buildx", f"buildx {facts.buildx} builds images")


def _storage(facts: EngineFacts) -> Finding:
    below = f" on {facts.backing}" if facts.backing else ""
    if why := _SLOW_STORAGE.get(facts.storage):
        return warning(
            "engine.storage",
            f"the storage driver is {facts.storage}{below}, which {why}",
            'put {"storage-driver": "overlay2"} into /etc/docker/daemon.json, then: sudo systemctl restart docker',
        )
    return ok("engine.storage", f"storage driver {facts.storage}{below}")


def _limits(facts: EngineFacts) -> Iterator[Finding]:
    if not facts.memory_limit:
        yield warning(
            "engine.cgroups",
            "the engine cannot limit memory: a container may use all of it",
            "add cgroup_enable=memory to the kernel's command line, then restart",
        )
    elif facts.cgroup_version:
        yield ok("engine.cgroups", f"cgroups v{facts.cgroup_version}")


def disk(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Disk space for downloads and builds, summed up where places share a file system."""
    remedies = {
        "images": "docker system df shows what uses it; free some: devenv prune, docker system prune; "
        'or move the engine with "data-root" in /etc/docker/daemon.json',
        "store": "free the store: devenv prune --all; or set XDG_CACHE_HOME to a larger disk",
        "weights": "see them: devenv weights list; free some: devenv weights rm; or put them elsewhere: --weights-dir",
    }
    places: dict[int | str, list[tuple[str, Disk, int]]] = {}
    wanted = (
        ("images", machine.images_disk, needs.image_bytes),
        ("store", machine.store_disk, needs.download_bytes),
        ("weights", machine.weights_disk, needs.weights_bytes),
    )
    for name, place, bytes_ in wanted:
        if place is not None:
            places.setdefault(place.device or place.path, []).append((name, place, bytes_))
    if machine.images_disk is None and needs.image_bytes and machine.engine and machine.engine.root:
        yield warning(
            "disk.images",
            f"how much is free at {machine.engine.root}, where the engine keeps images, cannot be determined; "
            f"{size(needs.image_bytes)} are needed",
            f"check it: sudo df -h {machine.engine.root}",
        )
    for rows in places.values():
        total = sum(bytes_ for _, _, bytes_ in rows)
        # An image's size is estimated, and of one that is changed only some layers are new: half of it must fit.
        sure = sum(bytes_ // 2 if name == "images" else bytes_ for name, _, bytes_ in rows)
        names = [name for name, _, bytes_ in rows if bytes_] or [rows[0][0]]
        place, id_ = rows[0][1], f"disk.{names[0]}"
        said = f"{size(place.free_bytes)} free at {place.path}"
        for_ = ", ".join(f"{size(bytes_)} for {name}" for name, _, bytes_ in rows if bytes_)
        if sure > place.free_bytes:
            yield blocker(id_, f"{said}, and {size(total)} are needed ({for_})", remedies[names[0]])
        elif total + _SPARE_BYTES > place.free_bytes:
            yield warning(id_, f"{said}; {size(total)} are needed{f' ({for_})' if for_ else ''}", remedies[names[0]])
        else:
            yield ok(id_, f"{said}; {for_ or 'nothing more'} needed" if for_ else said)


def memory(machine: Machine, needed_bytes: int) -> Finding:
    """The machine's main memory against the preset's `memory`."""
    told_by_engine = machine.engine.memory_bytes if machine.engine else 0
    have = machine.memory_bytes or told_by_engine
    if not have:
        return warning("memory", "cannot determine the amount of memory", "free -h")
    limited = 0 < told_by_engine < have
    if limited:
        have = told_by_engine  # Docker Desktop's virtual machine
    amount = f"{size(have)} of memory" + (" in the engine's virtual machine" if limited else "")
    if needed_bytes > have * NOMINAL:
        more = "give the engine's virtual machine more memory (Docker's settings, or .wslconfig)"
        return blocker(
            "memory",
            f"{amount}, but the preset needs {size(needed_bytes)}",
            more if limited or machine.wsl else "use a machine with more memory, or a smaller preset",
        )
    if needed_bytes and 0 < machine.available_bytes < needed_bytes:
        return warning(
            "memory",
            f"{amount}, of which {size(machine.available_bytes)} are free now; the preset needs {size(needed_bytes)}",
            "stop programs that use it: ps aux --sort=-rss | head",
        )
    return ok("memory", f"{amount}" + (f"; the preset needs {size(needed_bytes)}" if needed_bytes else ""))


NOMINAL = 1.07
"""Memory is sold in rounded sizes: a card of '16 GB' reports 15 GiB. Within seven percent a need counts as met."""


def system(machine: Machine) -> Iterator[Finding]:
    """Security modules, WSL, user numbers."""
    if machine.selinux == "enforcing":
        yield warning(
            "selinux",
            "SELinux is enforcing: it may deny the container access to the project folder",
            "allow it: chcon -Rt container_file_t PROJECT-FOLDER",
        )
    elif machine.selinux:
        yield ok("selinux", f"SELinux is {machine.selinux}")
    if machine.apparmor:
        yield ok("apparmor", "AppArmor is on; Docker's own profile allows what environments do")
    if machine.wsl:
        yield ok("wsl", f"WSL 2 ({machine.kernel}): keep projects in Linux's own file system, not below /mnt/c")
    if machine.engine and machine.engine.rootless:
        yield ok("user", "the engine is rootless: in the container you run as root, which is your own user here")
    elif machine.uid == 0:
        yield warning(
            "user",
            "you are root: in the container of a project you run as the owner of the project",
            "run devenv as an ordinary user in the group docker, in a project that this user owns",
        )
    elif machine.uid >= 2**31:
        yield warning(
            "user",
            f"your user number is {machine.uid}, which many programs in a container do not accept",
            "use a local user",
        )
    else:
        yield ok("user", f"the user in the container has your numbers, {machine.uid}:{machine.gid}")


def ports(machine: Machine) -> Iterator[Finding]:
    """The preset's ports that are in use. devenv then chooses another one, so none of them stops `up`."""
    if machine.busy_ports:
        taken = ", ".join(map(str, machine.busy_ports))
        yield warning(
            "ports",
            f"port {taken} on 127.0.0.1 is in use: the environment gets the next free one",
            f"see which program uses it: ss -ltnp 'sport = :{machine.busy_ports[0]}'",
        )


def size(bytes_: float) -> str:
    """In powers of 1000, as disks are sold: `12.3 GB`."""
    for unit in ("B", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} GB"
