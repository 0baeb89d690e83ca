"""A new container, whose new volumes begin with a snapshot's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devenv.container import container
from devenv.container.state import Environment
from devenv.doors.docker.values import ContainerSpec
from devenv.errors import EngineError
from devenv.up.session import Session


def create(spec: ContainerSpec, environment: Environment, session: Session, fill: Mapping[str, Path]) -> None:
    """Create the container; `fill` (mount point to a tar): what new volumes begin with. Volumes that a stopped run did
    not fill count as new. Raises EngineError, UsageError.

    The tars are strangers', and the engine follows their links and the image's: so they are unpacked where no folder of
    the host is.
    """
    engine = session.engine()
    new = container.new_volumes(spec, engine) | environment.filling()
    for mount in sorted(fill.keys() - new):
        session.stages.note(f"{mount} is there already and stays as it is; the snapshot's is not used")
    environment.keep_filling(fill.keys() & new)
    container.create(spec, environment, engine)
    filled = {one.target: one.source for one in spec.mounts if one.target in fill.keys() & new}
    if filled:
        with engine.laid_open(spec.image, filled) as idle:
            for mount in sorted(filled):
                try:
                    with fill[mount].open("rb") as archive:
                        engine.put_archive(idle, mount, archive)
                except EngineError as error:
                    raise EngineError(
                        f"the engine does not unpack what the snapshot has for {mount}: {error.message}",
                        where=str(fill[mount]), detail=error.detail,
                        hint=f"begin with empty volumes instead: devenv down {environment.name} --volumes",
                    ) from None  # fmt: skip
    environment.keep_filling(())
