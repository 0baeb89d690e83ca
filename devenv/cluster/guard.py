"""The program that forwards the ports of one environment, until another one takes its place or its file is gone.

It is started by `forward.begin`, and has no terminal. kubectl ends, or says that it lost the pod, when the connection
breaks or the pod moves: then the next pod is looked for.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path

from devenv.cluster import forward, pods
from devenv.cluster.forward import ALIVE, FILE, Forward
from devenv.container.state import Environment
from devenv.doors import process
from devenv.doors.cancellation import Cancellation
from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.errors import CancelledError, DevenvError

_LOST = re.compile(r"lost connection|network namespace|container not running|not found|sandbox|EOF|timed out|pod ")
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_LOOK_S = 0.5
_POD_S = 10.0
_NO_POD = "no pod runs"
_GONE_S = 900.0
"""How long there may be no pod: it moves, or someone else removed the environment."""
_AWAY_S = 86400.0
"""How long the cluster may be away: this machine sleeps, or the cluster is no more."""


def main(folder: Path) -> None:
    """Forward while the file asks for the same."""
    environment = Environment(name=folder.name, folder=folder)
    wanted = Forward.of(environment.kept(FILE))
    if wanted is None:
        return
    me = process.this_process()
    environment.keep(ALIVE, {"process": me, "said": ""})
    asked = forward.kept_json(environment)
    cancel = Cancellation()

    def look() -> None:
        while not cancel.is_set:
            kept = environment.kept(ALIVE)
            if forward.kept_json(environment) != asked or not isinstance(kept, dict) or kept.get("process") != me:
                cancel.cancel()
                return
            threading.Event().wait(_LOOK_S)

    threading.Thread(target=look, name="look", daemon=True).start()
    tries, last = 0, time.monotonic()
    try:
        while not cancel.is_set:
            said, was_long = _once(wanted, cancel)
            tries = 0 if was_long else tries + 1
            last = time.monotonic() if was_long else last
            if time.monotonic() - last > (_GONE_S if said == _NO_POD else _AWAY_S):
                return
            if said and not cancel.is_set:
                environment.keep(ALIVE, {"process": me, "said": said[-500:]})
            cancel.wait(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
    except CancelledError:
        return


def _once(wanted: Forward, cancel: Cancellation) -> tuple[str, bool]:
    """Forward to one pod until it is lost: what kubectl said last, and whether it forwarded at all."""
    kubectl = Kubectl(context=wanted.context, namespace=wanted.namespace, cancel=cancel, retry_s=0)
    try:
        found = kubectl.items("get", "pod", "--selector", wanted.pods)
    except (KubectlError, DevenvError) as error:
        cancel.check()
        return str(error), False
    running = [pod for pod in found if pods.is_running(pod)]
    if not running:
        return _NO_POD, False
    name = max(running, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))["metadata"]["name"]
    pairs = [f"{outside}:{inside}" for inside, outside in wanted.ports]
    said, with_part = "", cancel.part()
    try:
        with with_part as part:
            threading.Thread(target=_watch, args=(kubectl, name, part), name="pod", daemon=True).start()
            # Only what goes wrong is on stderr; IPv6's loopback is nobody's business.
            for line in process.lines(
                kubectl.command("port-forward", "--address=127.0.0.1", f"pod/{name}", *pairs), cancel=part
            ):
                said = line
                if _LOST.search(line):
                    break
    except process.ProcessError as error:
        said = error.outcome.err.strip() or said
    except CancelledError:
        cancel.check()
    return said, True


def _watch(kubectl: Kubectl, name: str, part: Cancellation) -> None:
    """End the forwarding when its pod is being replaced: kubectl may not see that for minutes."""
    while not part.is_set:
        threading.Event().wait(_POD_S)
        try:
            found = kubectl.items("get", "pod", name, "--ignore-not-found")
        except (KubectlError, DevenvError):
            continue
        if not found or not pods.is_running(found[0]):
            part.cancel()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
