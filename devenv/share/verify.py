"""The proof for what others pushed: its recipe is built here, and the result is compared by digest."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from devenv.errors import DriftError
from devenv.share.formats import DIFF_ID
from devenv.up.decide import decide
from devenv.verify.rebuild import identity_anew

if TYPE_CHECKING:
    from devenv.share.recipe import Added
    from devenv.share.remote import Remote
    from devenv.up.session import Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`said`: the identity that was pushed, without a snapshot's layer; `rebuilt`: what preset and lock give here.
    `different`: the names of the layers of that rebuild which the image has not."""

    said: str
    rebuilt: str
    different: tuple[str, ...]
    added: Added | None

    @property
    def equal(self) -> bool:
        """Whether both are the same image."""
        return self.said == self.rebuilt

    def require_equal(self, reference: str) -> None:
        """Raise DriftError unless both are the same image."""
        if not self.equal:
            raise DriftError(
                f"{reference} is not what its preset and lock give: {self.rebuilt} is",
                detail=f"layers that differ: {', '.join(self.different)}" if self.different else None,
                hint=f"see the files: devenv pull {reference}, then devenv verify IMAGE; or bring up what the recipe "
                f"gives: devenv up {reference} --rebuild",
            )


def verify(remote: Remote, session: Session) -> Proof:
    """Build the recipe with no cache, and compare; no layer of the image is downloaded. Raises BuildError,
    FetchError."""
    found = identity_anew(decide(remote.preset, session), session)
    theirs = {dict(layer.annotations).get(DIFF_ID) for layer in remote.layers}
    different = tuple(layer.name for layer in found.layers if theirs and layer.diff_id not in theirs)
    return Proof(said=remote.identity, rebuilt=found.digest, different=different, added=remote.added)
