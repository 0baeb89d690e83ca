"""One target reached by SSH, as commands use it: its connection, its devenv, its links, and a project on it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from devenv.doors import secret_file
from devenv.doors.dirs import Dirs
from devenv.doors.process import Outcome
from devenv.doors.settings.targets import SshTarget
from devenv.doors.ssh import LOST, Ssh
from devenv.doors.terminal.stages import Stages
from devenv.errors import TargetError
from devenv.remote import parcel
from devenv.remote.links import UP, Links, is_gone
from devenv.remote.sync.apply import Done
from devenv.remote.sync.both import Sync
from devenv.remote.talk import places
from devenv.remote.talk.places import There
from devenv.remote.talk.session import LackingError, session

if TYPE_CHECKING:
    from devenv.doors.settings.settings import Settings
    from devenv.lock.model import Lock, LockedModel

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnBox:
    """A target, for one command. `make_settings` reads the user's settings at its first call."""

    target: SshTarget
    ssh: Ssh
    dirs: Dirs
    make_settings: Callable[[], Settings]
    stages: Callable[[], Stages]

    @functools.cached_property
    def key(self) -> str:
        """The name of this devenv there."""
        return parcel.known_key(self.dirs.state / "targets" / "key")

    @property
    def links(self) -> Links:
        """The links to its environments."""
        return Links.of(self.dirs.state, self.target.name, self.target.destination)

    def connect(self) -> None:
        """Have a connection, so that later commands need not ask on the terminal. Raises TargetError."""
        if self.ssh.control("check").code != 0:
            self.ssh.run(("true",))

    def brought(self, do: Callable[[], T]) -> T:
        """Do something that needs this devenv there; where it lacks, bring it and do it again. Raises TargetError."""
        try:
            return do()
        except LackingError:
            self.bring()
            return do()

    def bring(self) -> None:
        """Have this devenv there. Raises TargetError."""
        from devenv.fetch.store import Store
        from devenv.remote import bring

        settings = self.make_settings()
        needs = bring.Bringing(
            target=self.target, settings=settings, store=Store(self.dirs.store), stages=self.stages()
        )
        bring.ready(self.ssh, needs)

    def _ensure(self) -> None:
        """Have this devenv there before a command that reads standard input: what a first attempt read would be
        lost."""
        known = self.links.folder / "there"
        if self.key in _lines(known):
            return
        if not self.is_there():
            self.bring()
        secret_file.write(known, self.key + "\n")

    def is_there(self) -> bool:
        """Whether this devenv is there. Raises TargetError."""
        from devenv.remote.bring import hello

        return self.key in hello(self.ssh, self.key).out.split()

    def there(self, project: Path | None) -> str:
        """The word by which devenv there finds a project's folder; `-` for none."""
        return There.of(self._laptop(), project).text if project else "-"

    def run(self, project: Path | None, words: Sequence[str], echo: Callable[[str], None] = lambda _: None) -> Outcome:
        """Run a command of devenv there to its end; `echo` gets what it prints for people. Raises TargetError."""

        def once() -> Outcome:
            done = self.ssh.printing(self.guard(project, words), echo)
            if done.code == places.LACKING:
                raise LackingError(self.ssh.name)
            return done

        return self.brought(once)

    def printed(
        self, project: Path | None, words: Sequence[str], shown: tuple[Callable[[str], None], Callable[[str], None]]
    ) -> int:
        """Run a command of devenv there, and show each line and each piece of stderr as it comes; its exit status.
        Raises TargetError."""

        def once() -> int:
            with self.ssh.talking(self.guard(project, words), ask=True, echo=shown[1]) as talk:
                for line in talk.heard:
                    shown[0](line.decode(errors="replace"))
                outcome = talk.outcome()
            if outcome.code == places.LACKING:
                raise LackingError(self.ssh.name)
            if outcome.code == LOST:
                raise self.ssh.fault(outcome.err)
            return outcome.code

        return self.brought(once)

    def interactive(self, project: Path | None, words: Sequence[str], *, tty: bool) -> int:
        """Run a command of devenv there on this terminal; its exit status. Raises TargetError when the connection
        breaks."""

        self._ensure()

        def once() -> int:
            code = self.ssh.interactive(self.guard(project, words), tty=tty)
            if code == places.LACKING and not self.is_there():  # else the command itself ended with that
                raise LackingError(self.ssh.name)
            return code

        code = self.brought(once)
        # A command there may end with the status that the client has for a lost connection.
        if code == LOST and self.ssh.control("check").code != 0:
            raise TargetError(
                f"the connection to {self.ssh.name} broke, and the command there was ended",
                hint=f"try: ssh {self.target.destination} true; then run it again",
            )
        return code

    def guard(self, project: Path | None, words: Sequence[str]) -> tuple[str, ...]:
        """The command for a devenv there, which ends with the connection."""
        return places.start(self.key, "on-box", "guard", self.there(project), *words)

    def sync(self, project: Path) -> Sync:
        """A project's folder, here and there."""
        there = There.of(self._laptop(), project)
        folder = self.links.folder / "projects"
        return Sync(
            root=project, there=there, target=self.target.name, file=folder / f"{there.id}.state",
            kept=folder / f"{there.id}.deleted",
        )  # fmt: skip

    def is_synchronised(self, project: Path) -> bool:
        """Whether a link keeps the project the same now, and nothing changed here since it looked."""
        kept = any(
            link.project == str(project) and link.state == UP and not is_gone(link) for link in self.links.every()
        )
        return kept and self.sync(project).is_as_kept()

    def synchronise(self, project: Path) -> Done:
        """Make both sides of a project the same, now. Raises TargetError."""
        sync, stages = self.sync(project), self.stages()

        def once() -> Done:
            with session(self.ssh, self.key) as open_, stages.stage("project") as stage:
                waiting = lambda: stages.note("another devenv command works on this project; waiting")  # noqa: E731
                done = sync.run(open_, waiting=waiting, progress=stage)
                stage.cached = done.is_empty
                stage.message(_told(done, sync.far))
                return done

        return self.brought(once)

    def has(self, lock: Path) -> bool:
        """Whether the box had every file of a lock when it was asked last; quickly, by the lock's text."""
        try:
            digest = hashlib.sha256(lock.read_bytes()).hexdigest()
        except OSError:
            return False
        return digest in _lines(self.links.folder / "has")

    def remember(self, digest: str) -> None:
        """The box needs no file of that lock: it has all, or the image that they make."""
        known = self.links.folder / "has"
        if digest not in _lines(known) and re.fullmatch(r"[0-9a-f]{64}", digest):
            secret_file.write(known, "\n".join([*_lines(known)[-50:], digest]) + "\n")

    def supply(self, lock: Lock, *, all_of_them: bool) -> int:
        """Send what the box lacks of a lock, if this machine has it and it is little, or `all_of_them`; the number of
        files. Raises TargetError."""
        from devenv.fetch.store import Store
        from devenv.remote import supply

        known, store = self.links.folder / "has", Store(self.dirs.store)
        if not all_of_them and lock.digest in _lines(known):
            return 0

        def once() -> int:
            with session(self.ssh, self.key) as open_:
                lacking = supply.missing(open_, lock)
                wanted = supply.at_once(lacking, store, all_of_them=all_of_them)
                if wanted:
                    with self.stages().stage("send") as stage:
                        supply.send(open_, wanted, store, stage)
                        stage.message(f"{len(wanted)} locked files")
                if len(wanted) == len(lacking):
                    self.remember(lock.digest)
                return len(wanted)

        return self.brought(once)

    def supply_weights(self, model: LockedModel) -> int:
        """Send what the box lacks of a model that is complete in this machine's store; the number of files. Raises
        TargetError."""
        from devenv.remote import supply
        from devenv.weights.store import Weights

        def once() -> int:
            with session(self.ssh, self.key) as open_, self.stages().stage("send") as stage:
                sent = supply.send_weights(open_, model, Weights(self.make_settings().hubs.dir), stage)
                stage.message(f"{sent} files of {model.key}")
                return sent

        return self.brought(once)

    def forget(self) -> None:
        """Forget what was kept here about it, but copies of files that it deleted."""
        folder = self.links.folder
        for path in (*folder.glob("*"), *folder.glob("pages/*"), *folder.glob("projects/*.[sl]*")):  # .state, .lock
            if path.is_file():
                path.unlink(missing_ok=True)

    def _laptop(self) -> str:
        """A name of this machine and user, which tells two laptops apart."""
        path = self.dirs.state / "targets" / "id"
        try:
            return path.read_text().strip()
        except OSError:
            name = secrets.token_hex(16)
            secret_file.write(path, name + "\n")
            return name


def _told(done: Done, far: str) -> str:
    if done.is_empty:
        return f"as in {far}"
    parts = [(done.sent, "sent"), (done.fetched, "fetched"), (done.removed, "removed")]
    return ", ".join(f"{count} {what}" for count, what in parts if count)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
