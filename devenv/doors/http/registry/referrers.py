"""What is attached to a manifest: the registry's own list, or the index under a tag where it keeps none.

Format: OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

from devenv.doors.http.connections import Answer, same_host
from devenv.doors.http.registry.client import Call
from devenv.doors.http.registry.faults import MissingError, wrong
from devenv.doors.http.registry.manifest import MOST_BYTES, OCI_INDEX, Descriptor, Manifest

if TYPE_CHECKING:
    from devenv.doors.http.registry.repository import Repository

_MOST_PAGES = 50
_TRIES = 5
_NOT_THERE = (400, 404, 405, 501)
"""What registries without this list answer to it."""


def referrers(repository: Repository, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
    """What is attached to a manifest, of one kind or all. Raises RegistryError."""
    found = _listed(repository, digest, artifact_type)
    if found is None:
        index = _tagged(repository, digest)
        found = index.manifests if index else ()
    return tuple(descriptor for descriptor in found if artifact_type in (None, descriptor.artifact_type))


def attach(repository: Repository, manifest: Manifest) -> None:
    """Push a manifest that has a subject, so that it is found from there. Raises RegistryError.

    Where the registry keeps no list, the index under the fallback tag is read, completed, written and read again:
    of two simultaneous writes, one would otherwise be lost.
    """
    assert manifest.subject is not None
    subject = manifest.subject.digest
    if repository.put(manifest):
        return
    mine = manifest.described()
    for _ in range(_TRIES):
        index = _tagged(repository, subject)
        entries = index.manifests if index else ()
        if mine.digest in {descriptor.digest for descriptor in entries}:
            return
        repository.put(
            Manifest.index((*entries, mine), dict(index.annotations) if index else None), fallback_tag(subject)
        )  # fmt: skip
    index = _tagged(repository, subject)
    if index is None or mine.digest not in {descriptor.digest for descriptor in index.manifests}:
        raise wrong(
            f"attach {mine.digest} to {repository.label(subject)}", repository.registry.host,
            f"keeps losing it from the tag {fallback_tag(subject)}", "another program writes it too; run it again",
        )  # fmt: skip


def fallback_tag(digest: str) -> str:
    """The tag of the index of what is attached."""
    return digest.replace(":", "-")


def _tagged(repository: Repository, digest: str) -> Manifest | None:
    try:
        index = repository.manifest(fallback_tag(digest))
    except MissingError:
        return None
    return index if index.is_index else None


def _listed(repository: Repository, digest: str, artifact_type: str | None) -> tuple[Descriptor, ...] | None:
    """The registry's own list; None when it keeps none."""
    registry, what = repository.registry, f"list what is attached to {repository.label(digest)}"
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url = repository.path("referrers", digest) + query
    found: list[Descriptor] = []

    def read(answer: Answer) -> tuple[Manifest | None, str]:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if answer.status in _NOT_THERE or kind != OCI_INDEX:
            return None, ""
        data = repository.body(answer, MOST_BYTES, what)
        try:
            return Manifest.read(data, OCI_INDEX), next_page(answer, registry.address)
        except ValueError as error:
            raise wrong(what, registry.host, f"sends a list that cannot be used: {error}") from None

    for _ in range(_MOST_PAGES):
        call = Call(
            what=what, url=url, scopes=repository.scopes, headers={"Accept": OCI_INDEX}, expect=(200, *_NOT_THERE)
        )  # fmt: skip
        index, url = registry.ask(call, read)
        if index is None:
            return tuple(found) if found else None
        found += index.manifests
        if not url:
            return tuple(found)
    raise wrong(what, registry.host, f"sends more than {_MOST_PAGES} pages")


def next_page(answer: Answer, home: str) -> str:
    """The address of the next page, on the registry itself; empty after the last one."""
    target, _, more = answer.headers.get("link", "").partition(">")
    if not target.startswith("<") or 'rel="next"' not in more.replace("rel=next", 'rel="next"'):
        return ""
    url = urljoin(answer.url, target[1:])
    return url if same_host(url, home) else ""
