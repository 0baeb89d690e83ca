"""A base that is a registry image: what the lock must know of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devenv.errors import LockError
from devenv.lock.model import LockedBase

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What the engine found in an image: its digest (`sha256:…`), /etc/os-release and /var/lib/dpkg/status.

    `local`: no registry knows it, and its digest is its id.
    """

    digest: str
    os_release: str
    dpkg_status: str
    local: bool = False


def look_into(reference: str, engine: Engine) -> ImageFacts:
    """What the engine finds in an image, which it pulls when it is not here. Raises EngineError, LockError."""
    if reference.startswith("sha256:") and engine.image_id(reference) is None:  # an id, which nothing can pull
        message, hint = gone(reference)
        raise LockError(message, hint=hint)
    id_, known, os_release, status = engine.base_facts(reference)
    digest, local = pin(reference, id_, known)
    return ImageFacts(digest=digest, os_release=os_release, dpkg_status=status, local=local)


def gone(id_: str, name: str | None = None) -> tuple[str, str]:
    """What is wrong, and what helps, when the engine lacks a base from no registry. `name`: as the lock has it."""
    save, whose = (f"docker save {name}", "that") if name else ("docker save", "its")
    hint = (
        f"copy it ('{save}' there, 'docker load' here), or use the image with {whose} name here: "
        "devenv lock --upgrade base"
    )
    return f"this engine has no image {id_[:19]}…, which the lock has as {name or 'its base'}", hint


def pin(reference: str, id_: str, known: Sequence[str]) -> tuple[str, bool]:
    """What names the image exactly: its digest at the registry that `reference` names, or, where no registry knows it
    (`known` is empty), its id; and whether it is the id. Raises LockError when only other registries know it."""
    if reference == id_ or not known:
        return id_, True
    wanted = _repository(reference)
    for one in known:
        if _repository(one) == wanted:
            return one.partition("@")[2], False
    raise LockError(
        f"the registry of {reference} gave no digest: this engine has the image as {known[0]}",
        hint="name it as its registry has it, or push it to the one that you name",
    )


def _repository(reference: str) -> str:
    """Without tag and digest, and without what Docker leaves out of the names of its own hub."""
    name = re.sub(r":[^/:]*$", "", reference.partition("@")[0])
    return re.sub(r"^((index\.)?docker\.io/)?(library/)?", "", name)


def locked_image(reference: str, facts: ImageFacts) -> LockedBase:
    """The base of that image. Raises LockError when it is no Debian or Ubuntu."""
    fields = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', facts.os_release, re.MULTILINE))
    distribution, release = fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
    if distribution not in {"debian", "ubuntu"} or not release or not facts.dpkg_status:
        raise LockError(
            f"the image {reference} is neither Debian nor Ubuntu (it is {fields.get('PRETTY_NAME', 'nothing')!r})",
            hint="use a Debian-family image, or 'bootstrap: debian/bookworm'",
        )
    return LockedBase.model_validate({
        "kind": "image", "distribution": distribution, "release": release, "image": reference, "digest": facts.digest,
        "local": facts.local or None,
    })  # fmt: skip
