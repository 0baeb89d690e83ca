"""What a cluster answers when it refuses, in one clear error with a remedy. Pure."""

from __future__ import annotations

import re

from devenv.doors.kubectl import Kubectl, KubectlError
from devenv.errors import TargetError

_SETTINGS = "config.yaml, section kubernetes"
_REMEDIES = (
    (
        re.compile(r"certificate has expired or is not yet valid"),
        "the certificate is not valid now, or this machine's clock is wrong: date; correct it, or log in again",
    ),
    (
        re.compile(
            r"Unauthorized|must be logged in|provide credentials|token (has )?expired|getting credentials"
            r"|invalid_grant",
            re.IGNORECASE,
        ),
        "log in to the cluster again, as its operators say; then: kubectl auth can-i --list",
    ),
    (
        re.compile(r"x509: "),
        "the cluster's certificate is not the one in kubectl's settings: get a new kubeconfig file",
    ),
    (
        re.compile(r"violates PodSecurity|PodSecurityPolicy|security context constraint"),
        (
            "the namespace's policy refuses such a pod: where the cluster gives uids itself, set 'uid: cluster' in "
            f"{_SETTINGS}; else ask its operators what it allows"
        ),
    ),
    (
        re.compile(r"exceeded quota|must specify (limits|requests)|maximum (cpu|memory) usage"),
        (
            f"ask for less, or for what the quota names ('cpu', 'memory', 'memory_limit', 'gpus' in {_SETTINGS}), or "
            "remove what is not needed: kubectl describe quota; devenv ps --on k8s"
        ),
    ),
    (
        re.compile(r"namespaces? \"[^\"]*\" not found"),
        "name a namespace that exists: --on k8s:CONTEXT/NAMESPACE; kubectl get namespaces",
    ),
    (
        re.compile(r"[Cc]onflicts? with|conflict with"),
        "another program manages these fields of the object: remove it there, or take another name: --name NAME",
    ),
    (
        re.compile(r"[Ff]orbidden|cannot \w+ resource"),
        "ask the operators of the cluster for the role 'edit' in this namespace",
    ),
    (re.compile(r"no such host"), "the cluster's name cannot be found: check VPN and kubectl's settings"),
    (
        re.compile(r"no matches for kind|could not find the requested resource"),
        "the cluster does not have this API: devenv needs Kubernetes 1.21 or newer",
    ),
)
_PREFIX = re.compile(r"^(error: |Error from server \([A-Za-z]+\): )(error when \w+ \"[^\"]*\": )?", re.MULTILINE)


def refused(what: str, error: KubectlError, kubectl: Kubectl) -> TargetError:
    """The error of a request that failed; `what`: what was to be done."""
    words = error.words
    place = f"{kubectl.context}/{kubectl.namespace}"
    if error.is_away:
        return TargetError(
            f"cannot {what}: the cluster does not answer", where=place, detail=_short(words),
            hint="check VPN and network: kubectl get --raw /readyz; the same command goes on where this one ended",
        )  # fmt: skip
    return TargetError(f"cannot {what}: {first_line(words)}", where=place, detail=_rest(words), hint=remedy(words))


def remedy(words: str) -> str | None:
    """What to do about a refusal."""
    return next((text for pattern, text in _REMEDIES if pattern.search(words)), None)


def first_line(words: str) -> str:
    """The refusal itself, without kubectl's own words before it."""
    lines = [line for line in _PREFIX.sub("", words).splitlines() if line.strip() and not line.startswith("Warning: ")]
    return (lines or ["kubectl said nothing"])[0][:600]


def _rest(words: str) -> str | None:
    lines = dict.fromkeys(line.strip() for line in _PREFIX.sub("", words).strip().splitlines())
    return _short("\n".join(lines)) if len(lines) > 1 else None


def _short(words: str) -> str:
    return "\n".join(line[:600] for line in words.strip().splitlines()[-10:])
