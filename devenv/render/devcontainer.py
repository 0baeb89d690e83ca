"""Plan → devcontainer.json: the same container for editors and clients that speak the dev container specification."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from devenv.plan import told
from devenv.plan.inside import EDITOR_SETTINGS, WORKSPACE
from devenv.plan.plan import Plan

MARK = "devenv render"
"""Every rendered file names devenv as its author: only such files are overwritten."""
FOLDER = ".devcontainer"
"""Where clients look for it in a project."""
RUN_TMPFS = "/run/devenv:nosuid,nodev,mode=0755"
"""A mount for what only one boot knows (the token, sockets): memory, so that no snapshot of the container has it."""
IMAGE_ARGUMENT = "ENVIRONMENT"
"""The build argument that names the image to a Dockerfile of the user's own."""
_ID = "${devcontainerId}"
"""A variable of the specification: another value for each folder and configuration."""
_MADE = re.compile(rb'"madeBy"\s*:\s*"' + MARK.encode() + rb'"')
_CONFIGURATION = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def place(configuration: str | None = None) -> str:
    """The file's path in a project: the project's only one, or one of several `configuration`s."""
    return f"{FOLDER}/{configuration}/devcontainer.json" if configuration else f"{FOLDER}/devcontainer.json"


def is_configuration(name: str) -> bool:
    """Whether a configuration can have this name."""
    return _CONFIGURATION.fullmatch(name) is not None


def is_ours(data: bytes) -> bool:
    """Whether devenv wrote a devcontainer.json; it may have been edited since."""
    return _MADE.search(data) is not None


def devcontainer(
    plan: Plan, *, self_contained: bool, online: bool = False, dockerfile: str = ""
) -> dict[str, Any]:  # fmt: skip
    """The document for a container of the role `workbench`. `self_contained`, `online`: as for `render`. `dockerfile`:
    one of the user's own, from the document's folder, which builds on the image."""
    ports = dict(plan.ports)
    setup, smoke = " && ".join(_setup(plan)), "; ".join(_smoke(plan))
    # Only devenv can bring weights, and only on the machine that has it.
    model = plan.model if not self_contained else None
    needs_model = plan.model is not None or bool(plan.lock.open)
    return {
        "name": plan.preset,
        **({"build": {"dockerfile": dockerfile, "args": {IMAGE_ARGUMENT: plan.image}}} if dockerfile else
           {"image": plan.image}),
        "initializeCommand": _initialize(plan, self_contained=self_contained, online=online),
        # The engine chooses the host port ('docker port' prints it): two environments cannot share a fixed one.
        "appPort": [f"127.0.0.1::{port}" for port in ports.values()],
        "containerEnv": {
            "DEVENV_NAME": plan.preset, **_caches(plan), **dict(model.variables(plan.preset) if model else ()),
        },
        "customizations": {
            "devenv": {"madeBy": MARK, "preset": plan.preset, "lock": plan.lock.digest},
            "vscode": {
                **({"extensions": list(plan.extensions)} if plan.extensions else {}), "settings": EDITOR_SETTINGS,
            },
        },
        "forwardPorts": list(ports.values()),
        # true: the editor's client refuses a machine without a GPU; 'optional': it uses one where it exists.
        **({"hostRequirements": {"gpu": plan.gpu == "required" or "optional"}} if plan.gpu else {}),
        "init": True,
        "mounts": [
            *(f"source={name},target={path},type=volume" for name, path in _volumes(plan)),
            *([f"source={model.volume},target={model.target(plan.preset)},type=volume,readonly"] if model else []),
        ],
        "overrideCommand": False,
        **({"updateContentCommand": setup} if setup else {}),
        # After the setup, whose results a check may need.
        **({"postCreateCommand": smoke} if smoke and (model or not needs_model) else {}),
        "portsAttributes": {str(port): _attributes(name) for name, port in ports.items()},
        "remoteUser": plan.user,
        "runArgs": [
            f"--shm-size={plan.shm_size_bytes}",
            f"--tmpfs={RUN_TMPFS}",
            *(f"--label={name}={value}" for name, value in told.of_devcontainer(plan)),
        ],
        "updateRemoteUserUID": True,
        "workspaceFolder": WORKSPACE,
        "workspaceMount": f"source=${{localWorkspaceFolder}},target={WORKSPACE},type=bind",
    }  # fmt: skip


def _initialize(plan: Plan, *, self_contained: bool, online: bool) -> str:
    """The command that brings the image when it is missing, and the weights."""
    argument = f" {shlex.quote(plan.argument)}" if plan.argument else ""
    # Not "build", because clients then ask a registry for the last stage's root, and ours is made from scratch.
    build = f"devenv build{argument}"
    if self_contained:
        where = FOLDER if online else "--network none ."
        build = f"docker buildx build --load --tag {plan.image} {where}"
    image = f"docker image inspect {plan.image} >/dev/null 2>&1 || {build}"
    if plan.model and not self_contained:
        return f"{{ {image}; }} && devenv prefetch{argument}"
    return image


def _volumes(plan: Plan) -> Iterator[tuple[str, str]]:
    """Named volumes of this folder's container alone: with a fixed name, those of other projects and users would have
    them too."""
    yield f"devenv-{plan.preset}-data-{_ID}", f"/mnt/{plan.preset}"
    for name, path in plan.volumes:
        yield f"devenv-{plan.preset}-vol-{name}-{_ID}", path


def _caches(plan: Plan) -> dict[str, str]:
    """The variables of the preset's caches, as `up` gives them. They lie in a volume that one machine has."""
    if not plan.caches:
        return {}
    top = f"/mnt/{plan.preset}/.cache/{plan.cache_key}-devcontainer"
    folders = " ".join(sorted({folder for _, folder in plan.caches}))
    return {
        "DEVENV_CACHE": top,
        "DEVENV_CACHES": folders,
        **{variable: f"{top}/{folder}" for variable, folder in plan.caches},
    }


def _attributes(name: str) -> dict[str, str]:
    """How an editor shows a port. It does not offer VS Code's page, because it shows the same folder itself."""
    return {"label": name, "onAutoForward": "silent" if name == "ide" else "notify"}


def _setup(plan: Plan) -> Iterator[str]:
    """The commands of the setup, and the restart of the preset's services after them, as `up` does it."""
    for step in plan.setup:
        yield f"devenv-exec timeout -k 5 {step.timeout_s} {_words(step.run)}"
    services = [f"/run/devenv/sv/{service.name}" for service in plan.own_services]
    if plan.setup and services:
        yield f"sv -w 10 force-restart {_words(services)}"


def _smoke(plan: Plan) -> Iterator[str]:
    """A command for each smoke check. It names a check that fails, and ends with the status of 'devenv smoke'."""
    for check in plan.smoke:
        failed = _words((f"devenv: smoke check {check.name} failed",))
        yield (
            f"devenv-exec env DEVENV_SMOKE_EXPECT={check.expect} timeout -k 5 {check.timeout_s} {_words(check.run)}"
            f" || {{ echo {failed} >&2; exit 10; }}"
        )


def _words(command: tuple[str, ...] | list[str]) -> str:
    """A command for a shell, in which clients find no variable of theirs (`${…}`): a word with a dollar sign is in
    single quotes, which are closed and opened again after it."""
    return shlex.join(command).replace("${", "$''{")
