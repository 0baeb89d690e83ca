"""A base that is a registry image: the facts for the lock."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devenv.doors import debian_text
from devenv.errors import LockError
from devenv.lock.model import LockedBase

if TYPE_CHECKING:
    from devenv.doors.docker.engine import Engine


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """The engine's facts about an image: its digest (`sha256:…`), /etc/os-release and /var/lib/dpkg/status.

    `local`: no registry has it, and its digest is its id.
    """

    digest: str
    os_release: str
    dpkg_status: str
    local: bool = False


def look_into(reference: str, engine: Engine) -> ImageFacts:
    """The engine's facts about an image; the engine pulls a missing one. Raises EngineError, LockError."""
    if reference.startswith("sha256:") and engine.image_id(reference) is None:  # an id, which nothing can pull
        message, hint = gone(reference)
        raise LockError(message, hint=hint)
    id_, known, os_release, status = engine.base_facts(reference)
    digest, local = pin(reference, id_, known)
    return ImageFacts(digest=digest, os_release=os_release, dpkg_status=status, local=local)


def gone(id_: str, name: str | None = None) -> tuple[str, str]:
    """Message and hint when the engine lacks a base that came from no registry. `name` is the lock's name for it."""
    save, whose = (f"docker save {name}", "that") if name else ("docker save", "its")
    hint = (
        f"copy it ('{save}' there, 'docker load' here), or use the image with {whose} name here: "
        "devenv lock --upgrade base"
    )
    return f"this engine has no image {id_[:19]}…, which the lock has as {name or 'its base'}", hint


def pin(reference: str, id_: str, known: Sequence[str]) -> tuple[str, bool]:
    """The exact name of the image: its digest at the registry that `reference` names, or, where no registry has it
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
    """The repository without tag and digest, and without the parts that Docker omits for its own hub."""
    name = re.sub(r":[^/:]*$", "", reference.partition("@")[0])
    return re.sub(r"^((index\.)?docker\.io/)?(library/)?", "", name)


def locked_image(reference: str, facts: ImageFacts) -> LockedBase:
    """The base of that image. Raises LockError unless it is Debian or Ubuntu."""
    fields = debian_text.os_release(facts.os_release)
    distribution, release = fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
    hint = "use a Debian-family image, or 'bootstrap: debian/bookworm'"
    if distribution not in {"debian", "ubuntu"} or not release:
        name = fields.get("PRETTY_NAME", "nothing")
        raise LockError(f"the image {reference} is neither Debian nor Ubuntu (it is {name!r})", hint=hint)
    if not facts.dpkg_status:
        raise LockError(f"the image {reference} has no list of its packages (/var/lib/dpkg/status)", hint=hint)
    return LockedBase.model_validate({
        "kind": "image", "distribution": distribution, "release": release, "image": reference, "digest": facts.digest,
        "local": facts.local or None,
    })  # fmt: skip
