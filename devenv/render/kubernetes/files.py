"""The objects as a file for `kubectl apply -f`, or for a repository that a cluster follows."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

from devenv.plan.plan import Plan
from devenv.render.devcontainer import MARK
from devenv.render.kubernetes.objects import objects
from devenv.render.kubernetes.words import RUN, Wanted
from devenv.render.render import Rendered

FOLDER = "kubernetes"


def render_kubernetes(plan: Plan, wanted: Wanted) -> Rendered:
    """One file: kubernetes/ROLE.yaml. Raises UsageError."""
    # Who commits the file chose its image; on a machine it would be the one that was built there.
    wanted = dataclasses.replace(wanted, image=wanted.image or plan.image)
    first = (
        f"# The environment '{wanted.name}' in a cluster, as {wanted.role}. Written by '{MARK} --target kubernetes'.\n"
    )
    if wanted.role != RUN:
        first += (
            "# The token is not in it. Once, in the same namespace:\n"
            f'#   kubectl create secret generic {wanted.token_secret} --from-literal=token="$(openssl rand -hex 24)"\n'
        )
    documents = [_yaml(one) for one in objects(plan, wanted)]
    files = {f"{FOLDER}/{wanted.role}.yaml": "---\n".join([first, *documents]).encode()}
    return Rendered(files=MappingProxyType(files), context=MappingProxyType({}), modes=MappingProxyType({}))


def _yaml(value: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    return yaml.dump(value, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)
