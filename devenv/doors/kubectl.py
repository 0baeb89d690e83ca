"""The user's own kubectl, as a process: contexts, logins and proxies are those that it has. The only module that asks a
cluster."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.process import Outcome
from devenv.doors.untrusted import from_json
from devenv.errors import TargetError

PROGRAM = "kubectl"
_RETRY_S = 60.0
_AWAY = re.compile(
    r"connection refused|server \S+ was refused|i/o timeout|no route to host|network is unreachable"
    r"|TLS handshake timeout|unexpected EOF|: EOF\b|connection reset|broken pipe|lost connection|websocket: close"
    r"|stream error|error dialing backend|http2: (client|server)|ServiceUnavailable|server is currently unable"
    r"|etcdserver: |apiserver (is shutting|not ready)|context deadline exceeded|Client\.Timeout"
    r"|server rejected our request",
    re.IGNORECASE,
)
"""What a server says, or does not, while it starts again."""
_ENDED = "command terminated with exit code"
"""kubectl's own line after a command that ended in a pod."""


class KubectlError(Exception):
    """kubectl ended with a status other than 0. Rooms turn it into their own error."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.err.strip() or outcome.out.strip() or f"{PROGRAM} ended with status {outcome.code}")
        self.outcome = outcome

    @property
    def words(self) -> str:
        """What kubectl printed on stderr."""
        return str(self)

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer."""
        return bool(_AWAY.search(self.words))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl for one context and one namespace. `retry_s`: how long a server may be away."""

    context: str
    namespace: str
    cancel: Cancellation = dataclasses.field(default_factory=Cancellation)
    retry_s: float = _RETRY_S

    def command(self, *arguments: str) -> list[str]:
        """A command line for this namespace."""
        return [PROGRAM, "--context", self.context, "--namespace", self.namespace, *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> Outcome:
        """Run a request to its end; the same request again while the server is away. Raises KubectlError, TargetError,
        CancelledError."""
        end, pause = time.monotonic() + self.retry_s, 0.2
        while True:
            try:
                return _run(self.command("--request-timeout=20s", *arguments), self.cancel, stdin, timeout_s)
            except KubectlError as error:
                if not error.is_away or time.monotonic() > end:
                    raise
            self.cancel.wait(pause)
            pause = min(2.0, pause * 2)

    def items(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        """The objects that a request gives. Raises as `run`."""
        text = self.run(*arguments, "--output=json", stdin=stdin).out
        found: list[dict[str, Any]] = []
        # What is made from several documents is printed as several.
        for part in re.split(r"(?<=^\})\n(?=\{$)", text.strip(), flags=re.MULTILINE) if text.strip() else ():
            try:
                value = from_json(part)
            except ValueError as error:
                raise TargetError(
                    f"the answer of {PROGRAM} cannot be read: {error}", hint=f"{PROGRAM} version"
                ) from None
            several = value.get("items") if isinstance(value, dict) and "items" in value else [value]
            found += [one for one in several or [] if isinstance(one, dict)]
        return found

    def exec(self, name: str, command: Sequence[str], *, container: str, timeout_s: float = 3600) -> Outcome:
        """Run a command in a pod; its own status, or that of kubectl. The same command again where the server went away
        meanwhile, so it has to be one that may run twice. Raises TargetError, CancelledError."""
        words = self.command("exec", name, "--container", container, "--", *command)
        end = time.monotonic() + self.retry_s
        while True:
            try:
                return _run(words, self.cancel, None, timeout_s)
            except KubectlError as error:
                # The command's own words may be about a connection as well.
                if _ENDED in error.outcome.err or not error.is_away or time.monotonic() > end:
                    return error.outcome
            self.cancel.wait(1.0)

    def feed(
        self, name: str, command: Sequence[str], path: Path, *, container: str, offset: int, tell: Callable[[int], None]
    ) -> None:
        """Run a command in a pod whose standard input is a file from `offset` on. Raises KubectlError, OSError,
        CancelledError."""
        words = self.command("exec", "--stdin", name, "--container", container, "--", *command)
        try:
            process.feed(words, path, offset=offset, tell=tell, cancel=self.cancel)
        except process.ProcessError as error:
            raise KubectlError(error.outcome) from None


def connect(context: str | None, namespace: str | None, cancel: Cancellation) -> Kubectl:
    """kubectl for a context, None for the current one of its settings, and a namespace, None for the context's. Both
    are read once: what changes in the settings later changes nothing for this run. Raises TargetError."""
    named = ["--context", context] if context else []
    try:
        text = _run([PROGRAM, *named, "config", "view", "--minify", "--output=json"], cancel, None, 20).out
    except KubectlError as error:
        raise _no_context(context, error, cancel) from None
    try:
        settings = from_json(text)
        only = settings["contexts"][0]
        name, own = str(only["name"]), str(only["context"].get("namespace") or "default")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TargetError(
            "kubectl's settings name no context", hint="kubectl config get-contexts; kubectl config use-context NAME"
        ) from None
    return Kubectl(context=name, namespace=namespace or own, cancel=cancel)


def _no_context(context: str | None, error: KubectlError, cancel: Cancellation) -> TargetError:
    try:
        names = _run([PROGRAM, "config", "get-contexts", "--output=name"], cancel, None, 20).out.split()
    except KubectlError:
        names = []
    if not names:
        return TargetError(
            "kubectl has no context, so no cluster is known", detail=error.words,
            hint="get a kubeconfig file from the operators of the cluster, as ~/.kube/config or in KUBECONFIG",
        )  # fmt: skip
    if context is None:
        hint = f"choose one: kubectl config use-context {names[0]}; or name it: --on k8s:{names[0]}"
        return TargetError("kubectl has no current context", detail=error.words, hint=hint)
    return TargetError(
        f"kubectl has no context {context!r}", hint=f"its contexts: {', '.join(sorted(names)[:8])}"
    )  # fmt: skip


def _run(command: Sequence[str], cancel: Cancellation, stdin: str | None, timeout_s: float) -> Outcome:
    try:
        return process.run(command, stdin=stdin, timeout_s=timeout_s, cancel=cancel)
    except process.ProcessError as error:
        raise KubectlError(error.outcome) from None
    except process.TimeoutExpired:
        late = Outcome(command=tuple(command), code=124, out="", err=f"no answer within {timeout_s:.0f} s: i/o timeout")
        raise KubectlError(late) from None
    except FileNotFoundError:
        raise TargetError(
            "kubectl is not installed, and devenv asks a cluster through it",
            hint="install kubectl, no more than one minor version away from the cluster's; then: kubectl get pods",
        ) from None


def documents(objects: Sequence[Mapping[str, Any]]) -> str:
    """Objects as standard input for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
