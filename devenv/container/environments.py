"""The environments on one engine as one user sees them: which is meant, and which are the user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from devenv.container import container, owner
from devenv.container.labels import Running
from devenv.container.state import Environment, environment
from devenv.doors.docker.engine import LABEL, Engine
from devenv.doors.files import is_same
from devenv.errors import UsageError
from devenv.preset.project_root import project_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """`folder` holds the state of the user's environments; `engine` connects at its first call."""

    engine: Callable[[], Engine]
    folder: Path

    def state(self, name: str) -> Environment:
        """The state of the environment `name`. Raises UsageError for what is not a name."""
        return environment(name, self.folder)

    def is_own(self, one: Running) -> bool:
        """Whether devenv made the container, for this user."""
        return not one.unreadable and owner.is_own(one, self.state(one.name))

    def known_token(self, one: Running) -> str | None:
        """The token of this user's environment; None for another user's, even under the same name."""
        return self.state(one.name).known_token() if self.is_own(one) else None

    def named(
        self, name: str, *, all_users: bool = False, look: bool = False, hint: str = "devenv ps"
    ) -> Running:  # fmt: skip
        """The environment `name`, to act on or (`look`) to show; `hint` is for an unknown name. Raises UsageError for
        another user's, unless `all_users`, and for what devenv did not make."""
        every = container.everything(self.engine())
        for one in sorted(every, key=lambda one: bool(one.unreadable)):
            if one.name == name:
                owner.check_readable(one)
                owner.check(one, self.state(name), all_users=all_users or look)
                return one
        seen = [one for one in every if not one.unreadable and (all_users or look or self.is_own(one))]
        names = ", ".join(one.name for one in seen) or "none"
        raise UsageError(f"unknown environment {name!r}; environments here: {names}", hint=hint)

    def meant(self, cwd: Path, *, all_users: bool = False, here_only: str = "") -> Running:
        """The environment that a command without a name means in `cwd`: that of the project, else the user's only one,
        unless `here_only` gives a reason against it. Raises UsageError."""
        every = container.everything(self.engine())
        mine = [one for one in every if not one.unreadable and (all_users or self.is_own(one))]
        found, in_project = _here(mine, cwd)
        if not found and in_project:
            raise UsageError("this project has no environment", hint="make one: devenv up; list the others: devenv ps")
        if not found and here_only:
            raise UsageError("no environment is named", hint=here_only)
        found = found or mine
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

    def is_left(self, name: str, *, all_users: bool = False) -> bool:
        """Whether it has no container, but still its state, or with `all_users` its volumes."""
        state = self.state(name)
        if self.engine().container(state.container):
            return False
        return state.folder.exists() or (all_users and bool(self.engine().volumes(f"{LABEL}name={name}")))


def _here(every: Sequence[Running], cwd: Path) -> tuple[list[Running], bool]:
    """(the environments of this folder, else of the project that it lies in; whether it lies in one)."""
    project = project_of(cwd)
    for folder in (cwd, *((project,) if project else ())):
        if found := [one for one in every if one.project and is_same(one.project, folder)]:
            return found, True
    return [], project is not None
