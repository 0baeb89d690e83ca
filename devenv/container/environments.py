"""The environments on one engine as one user sees them: which is meant, and which are the user's own."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from devenv.container import container, devcontainer, owner
from devenv.container.labels import Running
from devenv.container.names import is_name
from devenv.container.state import Environment, environment
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.files import is_same
from devenv.errors import NotReadyError, UsageError
from devenv.preset.project_root import project_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """`folder` holds the state of the user's environments; `engine` connects at its first call.

    Containers that a dev container client made from a devcontainer.json of devenv's are among them where a caller takes
    `devcontainers`. Such a container has its own name, and gives way to an environment of that name."""

    engine: Callable[[], Engine]
    folder: Path
    uid: int = dataclasses.field(default_factory=os.getuid)

    def state(self, name: str) -> Environment:
        """The state of the environment `name`. Raises UsageError for what is not a name."""
        return environment(name, self.folder)

    def state_of(self, one: Running) -> Environment:
        """The state of an environment. A dev container's is only for what a command writes meanwhile."""
        if one.is_devcontainer:
            return Environment(name=one.name, folder=self.folder.parent / "devcontainers" / one.facts.id[:12])
        return self.state(one.name)

    def every(self) -> tuple[Running, ...]:
        """All environments on the engine, those that are `unreadable` too; dev containers come last."""
        engine = self.engine()
        return (*container.everything(engine), *devcontainer.everything(engine))

    def is_own(self, one: Running) -> bool:
        """Whether devenv made the container, for this user, or a client made it for a folder of this user."""
        if one.is_devcontainer:
            return devcontainer.is_own(one, self.uid)
        return not one.unreadable and owner.is_own(one, self.state(one.name))

    def known_token(self, one: Running) -> str | None:
        """The token of this user's environment; None for another user's, even under the same name."""
        if not self.is_own(one):
            return None
        return devcontainer.token(one, self.engine()) if one.is_devcontainer else self.state(one.name).known_token()

    def kept_token(self, one: Running) -> str:
        """The token of an environment of this user. Raises NotReadyError when there is none."""
        if not one.is_devcontainer:
            return self.state(one.name).kept_token()
        if (token := devcontainer.token(one, self.engine())) is None:
            raise NotReadyError(
                f"{one.name} shows no token", hint=f"see how its start went: docker logs {one.facts.name}"
            )
        return token

    def check(self, one: Running, *, all_users: bool = False) -> None:
        """Raise UsageError unless a command may act on the container: it is this user's, or (`all_users`) anybody's."""
        if not one.is_devcontainer:
            owner.check(one, self.state(one.name), all_users=all_users)
            return
        owner.check_readable(one)
        if not all_users and not self.is_own(one):
            raise UsageError(
                f"the dev container {one.name!r} is another user's: the folder {one.project} is not yours",
                hint="act on it with --all-users: stop, down, exec, shell, logs, restart or smoke",
            )

    def named(
        self, name: str, *, all_users: bool = False, look: bool = False, devcontainers: bool = False,
        hint: str = "devenv ps",
    ) -> Running:  # fmt: skip
        """The environment `name`, to act on or (`look`) to show; `hint` is for an unknown name. Raises UsageError for
        another user's, unless `all_users`, for what devenv did not make, and for dev containers unless they are asked
        for."""
        every = self.every()
        for one in sorted(every, key=lambda one: (one.is_devcontainer, bool(one.unreadable))):
            if one.name == name:
                owner.check_readable(one)
                self.check(one, all_users=all_users or look)
                if one.is_devcontainer and not devcontainers:
                    raise _not_taken(one)
                return one
        seen = [one for one in every if not one.unreadable and (all_users or look or self.is_own(one))]
        names = ", ".join(one.name for one in seen if devcontainers or not one.is_devcontainer) or "none"
        raise UsageError(f"unknown environment {name!r}; environments here: {names}", hint=hint)

    def meant(
        self, cwd: Path, *, all_users: bool = False, here_only: str = "", devcontainers: bool = False
    ) -> Running:  # fmt: skip
        """The environment that a command without a name means in `cwd`: that of the project, else the user's only one,
        unless `here_only` gives a reason against it. A dev container is meant where there is no other. Raises
        UsageError."""
        every = self.every()
        own = [one for one in every if not one.unreadable and (all_users or self.is_own(one))]
        made = [one for one in own if not one.is_devcontainer]
        mine = own if devcontainers else made
        found, in_project = _here(made, cwd)
        found = found or _here(own, cwd)[0]
        if found and found[0] not in mine:
            raise _not_taken(found[0])
        if not found and in_project:
            raise UsageError("this project has no environment", hint="make one: devenv up; list the others: devenv ps")
        if not found and here_only:
            raise UsageError("no environment is named", hint=here_only)
        found = found or made or mine
        if len(found) == 1:
            return found[0]
        names = ", ".join(one.name for one in mine)
        others = "; 'devenv ps' lists those of other users" if every else ""
        raise UsageError(
            f"several environments are here: {names}" if names else f"you have no environment on this engine{others}",
            hint="name one of them" if names else "make one: devenv up rapidocr",
        )

    def now(self, name: str, *, all_users: bool = False) -> Running | None:
        """The environment's container now, because another command may have made or removed it since. Raises UsageError
        for another user's, unless `all_users`."""
        one = container.find(name, self.engine())
        if one:
            owner.check(one, self.state(name), all_users=all_users)
        return one

    def devcontainer(self, name: str, *, all_users: bool = False) -> Running | None:
        """The dev container of that name; None where there is none, or an environment has the name. Raises UsageError
        for another user's, unless `all_users`."""
        engine = self.engine()
        if is_name(name) and engine.container(self.state(name).container):
            return None
        one = next((one for one in devcontainer.everything(engine) if one.name == name), None)
        if one:
            self.check(one, all_users=all_users)
        return one

    def is_left(self, name: str, *, all_users: bool = False) -> bool:
        """Whether it has no container, but still its state, or with `all_users` its volumes."""
        state = self.state(name)
        if self.engine().container(state.container):
            return False
        return state.folder.exists() or (all_users and bool(self.engine().volumes(f"{LABEL}name={name}")))


def _not_taken(one: Running) -> UsageError:
    return UsageError(
        f"a dev container client made {one.name!r}, and this command takes environments of 'devenv up'",
        hint=f"use its client, or make an environment of its project: cd {shlex.quote(one.project)} && devenv up",
    )


def _here(every: Sequence[Running], cwd: Path) -> tuple[list[Running], bool]:
    """(the environments of this folder, else of the project that it lies in; whether it lies in one)."""
    project = project_of(cwd)
    for folder in (cwd, *((project,) if project else ())):
        if found := [one for one in every if one.project and is_same(one.project, folder)]:
            return found, True
    return [], project is not None
