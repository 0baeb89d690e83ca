"""Checks of values that conflict, which the model cannot see. The trees may have other mistakes too."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from devenv.preset import timezones
from devenv.preset.extension import NAMED
from devenv.preset.model import COMPONENTS, TIMEZONE
from devenv.preset.requirement import parsed
from devenv.preset.yaml.nodes import Node
from devenv.preset.yaml.problems import Problems, nearest, quote

RESERVED_NAMES = frozenset({"gateway", "ide", "jupyter"})
"""Services that devenv itself runs."""
BUILT_IN_PORTS = {"code_server": ("ide", 8443), "jupyter": ("jupyter", 8888)}
"""By the key that brings it: a service of devenv's own and the container port it takes."""
RESERVED_ENV = frozenset({"PATH", "HOME"})
ENV_PREFIX = "DEVENV_"
RESERVED_MOUNTS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/mnt", "/opt/code-server", "/opt/devenv",
    "/opt/node", "/opt/npm", "/opt/uv", "/opt/venv", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib/apt",
    "/var/lib/dpkg", "/var/log/devenv", "/var/run", "/workspace",
)  # fmt: skip
"""Where no further volume may lie: on them, below them or above them."""
_HIDDEN = ("/dev", "/mnt", "/proc", "/run", "/sys", "/var/run", "/workspace")
"""Where something is mounted over the image, so that files baked in would not be seen."""


def check(top: Node, problems: Problems) -> None:
    """Add conflicting values to `problems`."""
    _services(top, problems)
    _ports(top, problems)
    _volumes(top, problems)
    _files(top, problems)
    _environment(top, problems)
    _timezone(top, problems)
    _components(top, problems)
    _pinned_twice(top, problems)
    _node(top, problems)
    _extensions(top, problems)


def _entries(top: Node, key: str) -> dict[str, Node]:
    return top.entries[key].entries if key in top.entries else {}


def _services(top: Node, problems: Problems) -> None:
    listening: dict[str, str] = {}
    logged = {"setup"} if "setup" in top.entries else set()
    for name, service in _entries(top, "services").items():
        if name in RESERVED_NAMES | logged:
            problems.add(
                f"a service cannot be called {quote(name)}: devenv runs one of that name", service.place,
                hint="give it another name",
            )  # fmt: skip
        url = service.entries.get("url")
        if url and isinstance(url.value, str) and set("{}") & set(url.value.replace("{token}", "")):
            problems.add("'url' allows only '{token}' in braces", url.mark)
        port, listen = service.entries.get("port"), service.entries.get("listen")
        auth = service.entries.get("auth")
        if listen and auth and auth.value in {"own", "none"}:
            problems.add("'listen' goes with 'auth: token' only", listen.place, hint="remove it, or change 'auth'")
        if port is None and "health" in service.entries and listen is None:
            problems.add("'health' needs 'port' to send its request to", service.entries["health"].place)
        if listen and isinstance(listen.value, str):
            address = listen.value
            number = address.rpartition(":")[2]
            if address in listening:
                problems.add(f"{quote(address)} is where service {quote(listening[address])} listens too", listen.mark)
            elif number.isdecimal() and not 1 <= int(number) <= 65535:
                problems.add(f"port {number} in 'listen' is not from 1 to 65535", listen.mark)
            elif port and number.isdecimal() and port.value == int(number):
                problems.add(
                    "'listen' is on the service's own 'port', which the gateway takes", listen.mark,
                    hint="let the service listen on another port",
                )  # fmt: skip
            listening.setdefault(address, name)


def _ports(top: Node, problems: Problems) -> None:
    built_in = [port for key, port in BUILT_IN_PORTS.items() if key in top.entries]
    taken = {port: f"devenv's own service {quote(name)}" for name, port in built_in}
    services, ports = _entries(top, "services"), _entries(top, "ports")
    numbered = [(f"service {quote(name)}", node.entries.get("port")) for name, node in services.items()]
    numbered += [(f"'ports.{name}'", node) for name, node in ports.items()]
    for owner, node in numbered:
        if node is None or isinstance(node.value, bool) or not isinstance(node.value, int):
            continue
        if node.value in taken:
            problems.add(f"port {node.value} is taken by {taken[node.value]}", node.mark, hint="choose another port")
        taken.setdefault(node.value, owner)
    for name, node in ports.items():
        if name in services or name in RESERVED_NAMES:
            whose = "a service" if name in services else "devenv"
            problems.add(f"the name {quote(name)} is taken by {whose}", node.place, hint="give the port another name")


def _volumes(top: Node, problems: Problems) -> None:
    mounts: dict[str, str] = {}
    for name, node in _entries(top, "volumes").items():
        if not isinstance(node.value, str) or {".", ".."} & set(node.value.split("/")):
            continue
        path = node.value.rstrip("/")
        for reserved in RESERVED_MOUNTS:
            if _related(path, reserved):
                why = f"devenv or the system needs {reserved}"
                problems.add(
                    f"a volume cannot be mounted at {quote(node.value)}: {why}", node.mark,
                    hint="choose a folder of its own, such as /data",
                )  # fmt: skip
                break
        for other, owner in mounts.items():
            if _related(path, other):
                how = "the same folder as" if path == other else "nested with"
                problems.add(f"{quote(node.value)} is {how} volume {quote(owner)} ({other})", node.mark)
                break
        mounts.setdefault(path, name)
    model = _entries(top, "model").get("mount")
    if model is not None and isinstance(model.value, str):
        path = model.value.rstrip("/")
        for reserved in RESERVED_MOUNTS:
            if _related(path, reserved) and not (reserved == "/mnt" and path.startswith("/mnt/")):
                problems.add(
                    f"a model cannot be mounted at {quote(path)}: devenv or the system needs {reserved}", model.mark,
                    hint="leave 'mount' out, or choose a folder such as /mnt/weights",
                )  # fmt: skip
                break
        for other, owner in mounts.items():
            if _related(path, other):
                problems.add(f"{quote(path)} is where volume {quote(owner)} ({other}) is", model.mark)
                break


def _files(top: Node, problems: Problems) -> None:
    for target, node in _entries(top, "files").items():
        for hidden in _HIDDEN:
            if target == hidden or target.startswith(hidden + "/"):
                hint = "use 'workspace' for the first content of /workspace" if hidden == "/workspace" else None
                problems.add(f"a file at {quote(target)} would not be seen: {hidden} is mounted at start",
                             node.place, hint=hint or "choose another place, such as /opt")  # fmt: skip
                break


def _related(one: str, other: str) -> bool:
    """The same folder, or one in the other."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _environment(top: Node, problems: Problems) -> None:
    tables = [_entries(top, "env"), _entries(top, "caches")]
    tables += [_entries(service, "env") for service in _entries(top, "services").values()]
    for table in tables:
        for name, node in table.items():
            if name in RESERVED_ENV or name.startswith(ENV_PREFIX):
                problems.add(f"the variable {quote(name)} is set by devenv itself", node.place, hint="use another name")
    for name, node in tables[1].items():
        if name in tables[0]:
            problems.add(
                f"{quote(name)} is given in 'env' and in 'caches'",
                node.place,
                hint="keep one; null drops an inherited one",
            )


def _timezone(top: Node, problems: Problems) -> None:
    zone = top.entries.get("timezone")
    if zone is None or not isinstance(zone.value, str) or not re.fullmatch(TIMEZONE, zone.value):
        return
    known = timezones.names()
    if zone.value not in known:
        newer = timezones.successor(zone.value)
        hint = f"its name is {newer} now" if newer else nearest(zone.value, known)
        problems.add(
            f"unknown time zone {quote(zone.value)}", zone.mark, hint=hint or "use a name such as Europe/Berlin, or UTC"
        )
    if own := _entries(top, "env").get("TZ"):
        problems.add("'timezone' sets 'TZ' already", own.place, hint="keep one; null drops an inherited one")


def _components(top: Node, problems: Problems) -> None:
    bootstrap = _entries(top, "base").get("bootstrap")
    distribution = bootstrap.value.partition("/")[0] if bootstrap and isinstance(bootstrap.value, str) else ""
    known = COMPONENTS.get(distribution, ())
    for node in top.entries["apt_components"].items if "apt_components" in top.entries and known else ():
        others = [name for name, all_ in COMPONENTS.items() if node.value in all_]
        if others and node.value not in known:
            problems.add(
                f"{quote(str(node.value))} is a part of {others[0].capitalize()}'s archive, and the base is "
                f"{distribution}",
                node.mark, hint=f"{distribution} has: {', '.join(known)}",
            )  # fmt: skip


def _pinned_twice(top: Node, problems: Problems) -> None:
    """A range that allows the pinned version is no second pin: the project's own package may ask for `torch>=2.4`."""
    pinned: dict[str, tuple[str, Node]] = {
        key: (key, top.entries[key]) for key in ("torch", "vllm") if key in top.entries
    }
    if "version" in (jupyter := _entries(top, "jupyter")):
        pinned["jupyterlab"] = "jupyter.version", jupyter["version"]
    for node in top.entries["pip"].items if "pip" in top.entries else ():
        try:
            requirement = parsed(node.value) if isinstance(node.value, str) else None
        except InvalidRequirement:
            continue
        name = canonicalize_name(requirement.name) if requirement else ""
        if requirement is None or name not in pinned or not (requirement.specifier or requirement.url):
            continue
        key, version = pinned[name]
        if requirement.url or not _allows(requirement.specifier, version.value):
            problems.add(
                f"{quote(name)} is pinned by '{key}' already", node.mark,
                hint=f"change '{key}', and remove this entry",
            )  # fmt: skip


def _allows(specifier: SpecifierSet, version: object) -> bool:
    try:
        return specifier.contains(str(version), prereleases=True)
    except InvalidVersion:
        return False


def _node(top: Node, problems: Problems) -> None:
    if "node" in top.entries:
        return
    editor = top.entries.get("code_server")
    from_npm = editor is not None and ("source" not in editor.entries or editor.entries["source"].value == "npm")
    npm = top.entries.get("npm")
    cause = npm if npm is not None and npm.items else editor if from_npm else None
    if cause is not None:
        what = "'npm' packages need" if cause is npm else "'code_server' from npm needs"
        problems.add(
            f"{what} 'node'",
            cause.place,
            hint="add the version of Node.js, such as node: '22.20.0'; or take away what needs it, such as npm: null",
        )


def _extensions(top: Node, problems: Problems) -> None:
    every = top.entries["extensions"].items if "extensions" in top.entries else ()
    named = [node for node in every if isinstance(node.value, str) and re.fullmatch(NAMED, node.value)]
    if named and "code_server" not in top.entries:
        problems.add(
            "an extension by name needs 'code_server': its version decides which version of the extension fits",
            named[0].mark, hint="add code_server: {version: …}, or 'extends: python', which has one",
        )  # fmt: skip
