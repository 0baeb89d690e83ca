"""What can go wrong, each with its exit status and a remedy."""

from __future__ import annotations


class OcrError(Exception):
    """An error that a user can correct. `hint` is the next step."""

    status = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OcrError):
    """The request itself makes no sense."""

    status = 2


class InputError(OcrError):
    """One file, or one page of it, cannot be read."""

    status = 3


class BackendError(OcrError):
    """The engine cannot be started, or cannot do what is asked of it."""

    status = 5


class MemoryFullError(BackendError):
    """The GPU or the machine has not enough memory for this."""


class OutputError(OcrError):
    """The results cannot be written."""

    status = 6


def explained(error: Exception, what: str, kind: type[OcrError], hint: str) -> OcrError:
    """Any error as one that says what is wrong and what helps: of its own `kind` with `what` and a `hint` where nobody
    thought of it before."""
    if isinstance(error, OcrError):
        return error
    if isinstance(error, MemoryError):
        return MemoryFullError(f"{what}: not enough memory", hint="a smaller --dpi or --concurrency")
    said = (str(error).strip() or "it gave no reason").splitlines()[0][:200]
    return kind(f"{what}: {type(error).__name__}: {said}", hint=hint)


SOME_FAILED = InputError.status
"""Some files or pages could not be read; the others were."""
SOME_INCOMPLETE = 4
"""Everything was read, but pages were cut off or went round in circles."""
SMOKE_FAILED = 10
INTERRUPTED = 130
