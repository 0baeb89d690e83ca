"""The name of an image in a registry: HOST[:PORT]/NAME[:TAG][@sha256:…]."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Self

from devenv.errors import UsageError

_FORM = "HOST[:PORT]/NAME[:TAG][@sha256:…]"
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_MOST_NAME = 255
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Host and repository, and a tag, a digest or both: the digest then decides, and the tag is for people."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a person wrote. Raises UsageError; a name without a host is never completed."""
        scheme, sign, rest = text.partition("://")
        if sign:
            raise _refused(text, "it begins with a scheme", f"leave '{scheme}://' out: {rest}")
        name, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise _refused(text, "its digest is not sha256: and 64 hex digits in lower case", f"write {_FORM}")
        host, slash, path = name.partition("/")
        if not slash and is_host(host) and ("." in host.partition(":")[0] or is_loopback(host)):
            raise _refused(text, "it names a registry alone", f"write the image's name too: {host}/NAME:TAG")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            raise _refused(text, "it names no registry", f"write the registry's host too: HOST/{name}")
        repository, colon, tag = path.partition(":")
        if not is_host(host):
            raise _refused(text, f"{host!r} is not a host", f"write {_FORM}")
        if not _NAME.fullmatch(repository) or len(repository) > _MOST_NAME:
            raise _refused(
                text, f"{repository!r} cannot name a repository",
                "use lower-case letters, digits and single '.', '_', '-' between them; '/' separates parts",
            )  # fmt: skip
        if colon and not is_tag(tag):
            raise _refused(text, f"{tag!r} cannot be a tag", "use letters, digits, '_', '.' and '-', 128 at the most")
        return cls(host=host, repository=repository, tag=tag or None, digest=digest or None)

    @property
    def version(self) -> str:
        """The digest, or else the tag, as it stands in the request. Raises UsageError when there is neither."""
        if version := self.digest or self.tag:
            return version
        raise UsageError(f"{self} has neither a tag nor a digest", hint=f"add one, for example {self}:latest")

    def __str__(self) -> str:
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def is_host(text: str) -> bool:
    """Whether it is a host, or host and port."""
    match = _HOST.fullmatch(text)
    return match is not None and ".." not in text and (match[1] is None or 0 < int(match[1]) < 65536)


def is_digest(text: str) -> bool:
    """Whether it is a digest that is accepted here: sha256 alone."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether it can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a host, or host and port, is this machine by its name alone: no name server is contacted."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(text: str, why: str, hint: str) -> UsageError:
    return UsageError(f"{text!r} is not a reference to an image: {why}", hint=hint)
