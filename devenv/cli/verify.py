"""`devenv verify`: the proof that an image is what its preset and lock give."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli import complete, references
from devenv.cli.app import App, json_option, pass_app
from devenv.errors import DriftError

if TYPE_CHECKING:
    from devenv.share.verify import Proof
    from devenv.verify.identity import Identity
    from devenv.verify.rebuild import Verdict

_SHOWN = 40
_PATHS = 5


@click.command()
@click.argument("what", required=False, metavar="[PRESET|ENV|IMAGE|REF]", shell_complete=complete.names)
@click.option(
    "--digest", "only_digest", is_flag=True,
    help="Print the image's identity and build nothing. The image computes it itself, so trust the image first.",
)  # fmt: skip
@click.option(
    "--image", "other", metavar="IMAGE",
    help="Compare this image with what PRESET gives here, instead of with the preset that it carries.",
)  # fmt: skip
@click.option(
    "--expect", metavar="sha256:…", help="The identity that the image must have; exit status 12 when it has another."
)
@json_option
@pass_app
def verify(app: App, what: str | None, only_digest: bool, other: str | None, expect: str | None) -> None:
    """Build an image again from its preset and lock, with no cache, and compare the two byte for byte.

    Name PRESET (nothing means devenv.yaml here or above; a missing image is built first), an environment, or any image
    that devenv built. Such an image carries its preset and lock, and is compared with these. With --image, an image
    from elsewhere is compared with your preset and lock. Of an image in a registry (HOST/NAME:TAG) no layer is
    downloaded: its recipe is built here, and the digests are compared. When the two differ, the command prints the
    differing files and exits with status 12. An image that was made from a snapshot is compared with its lock's image
    and the snapshot's layer over it. The identity does not depend on the machine: the same digest means the same image.
    """
    from devenv.snapshot.bring_back import with_layer
    from devenv.verify.rebuild import identity, is_stated
    from devenv.verify.rebuild import verify as prove
    from devenv.verify.subject import subject

    if what is not None and other is None and references.may_be_reference(what) and app.engine.image_id(what) is None:
        _remote(app, what, expect, only_digest=only_digest)
        return
    with app.console.stages() as stages, tempfile.TemporaryDirectory(prefix="devenv-verify-") as folder:
        session = app.session(stages)
        reference, decided = subject(what, session, cwd=Path.cwd(), folder=Path(folder), image=other)
        stated = is_stated(reference, decided, app.engine)
        if only_digest:
            found: Identity = identity(reference, decided.lock, session)
        else:
            verdict = prove(reference, with_layer(decided, reference, session), session, stated=stated)
            found = verdict.image
    if app.json:
        app.console.json({
            "image": reference, "preset": decided.plan.preset, "lock_digest": decided.lock.digest,
            "digest": found.digest, "stated": stated,
            **({} if only_digest else _rebuilt(verdict)), **({"expected": expect} if expect else {}),
            "layers": [
                {
                    "name": layer.name, "diff_id": layer.diff_id, "bytes": layer.size_bytes,
                    "entries": len(layer.entries),
                }
                for layer in found.layers
            ],
        })  # fmt: skip
    elif only_digest:
        app.console.data(found.digest)
    else:
        _print(app, reference, verdict)
    if expect is not None:
        found.require(expect, reference)
    if not only_digest:
        verdict.require_equal(reference)


def _remote(app: App, reference: str, expect: str | None, *, only_digest: bool) -> None:
    """The same for an image in a registry, of which no layer is downloaded."""
    from devenv.share.verify import verify as prove

    with app.console.stages() as stages:
        session = app.session(stages)
        remote = references.remote(reference, session)
        proof = None if only_digest else prove(remote, session)
    if app.json:
        app.console.json({
            "reference": remote.place.at(remote.digest), "digest": remote.identity,
            **(_proof(proof) if proof else {}),
            "snapshot": remote.added and remote.added.snapshot,
        })  # fmt: skip
    else:
        if proof and proof.equal:
            app.console.note(f"{reference} is what its preset and lock give, byte for byte")
        if remote.added:
            app.console.note(f"over it lies the snapshot {remote.added.snapshot}, which no lock explains")
        app.console.data(remote.identity)
    if expect is not None and expect != remote.identity:
        raise DriftError(f"{reference} is {remote.identity}, not {expect}")
    if proof:
        proof.require_equal(reference)


def _proof(proof: Proof) -> dict[str, Any]:
    return {"equal": proof.equal, "rebuilt_digest": proof.rebuilt, "different_layers": [*proof.different]}


def _rebuilt(verdict: Verdict) -> dict[str, Any]:
    return {
        "equal": verdict.equal,
        "rebuilt_digest": verdict.rebuilt.digest,
        "differences": [
            {"path": difference.path, "layer": difference.layer, "what": difference.what}
            for difference in verdict.differences
        ],
        **({"snapshot": verdict.snapshot, "adds": list(verdict.adds)} if verdict.snapshot else {}),
    }


def _print(app: App, reference: str, verdict: Verdict) -> None:
    again = {layer.name: layer for layer in verdict.rebuilt.layers}
    rows = [
        (
            layer.name, f"{layer.size_bytes / 1e6:.1f} MB", str(len(layer.entries)),
            "equal" if layer.name in again and layer.diff_id == again[layer.name].diff_id else "DIFFERENT",
        )
        for layer in verdict.image.layers
    ]  # fmt: skip
    app.console.note("")
    app.console.table("", ("layer", "size", "entries", ""), rows)
    for difference in verdict.differences[:_SHOWN]:
        app.console.note(f"{difference.layer}: {difference.path}: {difference.what}")
    if len(verdict.differences) > _SHOWN:
        app.console.note(f"… and {len(verdict.differences) - _SHOWN} more: --json lists all")
    if verdict.equal:
        app.console.note(f"\n{reference} is what its preset and lock give{_with_layer(verdict)}, byte for byte")
    app.console.data(verdict.image.digest)


def _with_layer(verdict: Verdict) -> str:
    if not verdict.snapshot:
        return ""
    more = ", …" if len(verdict.adds) > _PATHS else ""
    paths = ", ".join(verdict.adds[:_PATHS]) + more
    return f", with the layer of the snapshot {verdict.snapshot} ({len(verdict.adds)} paths: {paths})"
