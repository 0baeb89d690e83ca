"""A new container, whose new volumes begin with a snapshot's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devenv.container import container
from devenv.container.state import Environment
from devenv.doors.docker.values import ContainerSpec
from devenv.up.session import Session


def create(spec: ContainerSpec, environment: Environment, session: Session, fill: Mapping[str, Path]) -> None:
    """Create the container; `fill` (mount point to a tar): what new volumes begin with. Volumes that a stopped run did
    not fill count as new. Raises EngineError, UsageError."""
    engine = session.engine()
    new = container.new_volumes(spec, engine) | environment.filling()
    for mount in sorted(fill.keys() - new):
        session.stages.note(f"{mount} is there already and stays as it is; the snapshot's is not used")
    environment.keep_filling(fill.keys() & new)
    container.create(spec, environment, engine)
    for mount in sorted(fill.keys() & new):
        with fill[mount].open("rb") as archive:
            engine.put_archive(spec.name, mount, archive)
    environment.keep_filling(())
