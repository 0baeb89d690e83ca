"""The one exception family: every expected failure has a place, a message and a hint."""

from __future__ import annotations


class DevenvError(Exception):
    """An expected failure: `message`, then optional `where` (file:line:col), `detail` (log tail, excerpt), `hint`.

    `exit_code` is the process's exit status, one per class, as documented in docs/reference/exit-codes.md.
    """

    exit_code = 70

    def __init__(
        self, message: str, *, hint: str | None = None, where: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.detail = detail


class UsageError(DevenvError):
    """The command line asks for something impossible."""

    exit_code = 2


class PresetError(DevenvError):
    """A preset is invalid. One error may carry many mistakes: `problems` holds each as its own error."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        where: str | None = None,
        detail: str | None = None,
        problems: tuple[PresetError, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, where=where, detail=detail)
        self.problems = problems


class LockError(DevenvError):
    """The lock is missing, stale, unreadable or cannot be resolved. Where several parts cannot be, `problems` holds
    each as its own error."""

    exit_code = 4
    problems: tuple[LockError, ...] = ()


class RenderError(DevenvError):
    """A template could not be rendered or written."""

    exit_code = 5


class EngineError(DevenvError):
    """No usable Docker Engine, or it refused a request."""

    exit_code = 6


class BuildError(DevenvError):
    """The image build failed."""

    exit_code = 7


class FetchError(DevenvError):
    """A locked artifact could not be fetched: network, checksum or disk."""

    exit_code = 8


class NotReadyError(DevenvError):
    """The container or one of its services did not come up."""

    exit_code = 9


class SmokeError(DevenvError):
    """The smoke test failed; the environment keeps running."""

    exit_code = 10


class ShareError(DevenvError):
    """Sharing an environment failed."""

    exit_code = 11


class DriftError(DevenvError):
    """The files or the image differ from preset and lock."""

    exit_code = 12


class MachineError(DevenvError):
    """This machine cannot run the preset."""

    exit_code = 13


class TargetError(DevenvError):
    """Another machine, or a cluster, cannot be reached or used (`--on`)."""

    exit_code = 14


class CancelledError(DevenvError):
    """The caller has cancelled the work."""

    exit_code = 130

    def __init__(self, message: str = "cancelled; what was done so far is kept") -> None:
        super().__init__(message)
