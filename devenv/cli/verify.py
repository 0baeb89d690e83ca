"""`devenv verify`: the proof that an image is what its preset and lock give."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devenv.cli.app import App, json_option, pass_app
from devenv.errors import DriftError, PresetError, UsageError

if TYPE_CHECKING:
    from devenv.up.decide import Decided
    from devenv.up.session import Session
    from devenv.verify.identity import Identity
    from devenv.verify.rebuild import Verdict

_SHOWN = 40


@click.command()
@click.argument("what", required=False, metavar="[PRESET|ENV|IMAGE]")
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
    from elsewhere is compared with your preset and lock. When the two differ, the command prints the differing files
    and exits with status 12. The identity does not depend on the machine: the same digest means the same image.
    """
    from devenv.verify.rebuild import identity, is_stated
    from devenv.verify.rebuild import verify as prove

    with app.console.stages() as stages, tempfile.TemporaryDirectory(prefix="devenv-verify-") as folder:
        session = app.session(stages)
        reference, decided = _subject(app, session, what, other, Path(folder))
        stated = is_stated(reference, decided, app.engine)
        if only_digest:
            found: Identity = identity(reference, decided.lock, session)
        else:
            verdict = prove(reference, decided, session, stated=stated)
            found = verdict.image
    wrong = expect is not None and expect != found.digest
    if app.json:
        app.console.json({
            "image": reference, "preset": decided.plan.preset, "lock_digest": decided.lock.digest,
            "digest": found.digest, "stated": stated,
            **({} if only_digest else _rebuilt(verdict)), **({"expected": expect} if expect else {}),
            "layers": [{"name": one.name, "diff_id": one.diff_id, "bytes": one.size_bytes, "entries": len(one.entries)}
                       for one in found.layers],
        })  # fmt: skip
    elif only_digest:
        app.console.data(found.digest)
    else:
        _tell(app, reference, verdict)
    if wrong:
        raise DriftError(
            f"{reference} is {found.digest}, not {expect}", hint="see the differences: devenv verify, without --expect"
        )
    if not only_digest and not verdict.equal and not verdict.differences:
        raise DriftError(
            f"{reference} holds preset files that differ from those it was built from",
            hint="compare it with your own preset: devenv verify PRESET --image IMAGE",
        )
    if not only_digest and not verdict.equal:
        raise DriftError(
            f"{reference} is not what its preset and lock give: {len(verdict.differences)} differences",
            hint="build it again: devenv build --no-cache; if it still differs, report which files do",
        )


def _subject(app: App, session: Session, what: str | None, other: str | None, folder: Path) -> tuple[str, Decided]:
    """The image's reference, and the preset and lock that it is compared with."""
    from devenv.container import container
    from devenv.preset.load import find
    from devenv.up.decide import decide
    from devenv.up.image import make_image
    from devenv.verify.rebuild import restore

    try:
        path = find(what, Path.cwd())
    except PresetError:
        if what is None:
            raise
        if other is not None:
            raise  # it is compared with the user's own preset
        environments = container.everything(app.engine)
        running = next((one for one in environments if one.name == what and not one.unreadable), None)
        reference = running.facts.image if running else what
        if app.engine.image_id(reference) is None:
            raise UsageError(
                f"unknown preset, environment or image {what!r}",
                hint="list them: devenv presets, devenv ps, docker images",
            ) from None
        return reference, decide(restore(reference, folder, session), session)
    decided = decide(path, session)
    if other is not None:
        return other, decided
    decided, image = make_image(decided, session)
    return image.reference, decided


def _rebuilt(verdict: Verdict) -> dict[str, Any]:
    return {
        "equal": verdict.equal,
        "rebuilt_digest": verdict.rebuilt.digest,
        "differences": [{"path": one.path, "layer": one.layer, "what": one.what} for one in verdict.differences],
    }


def _tell(app: App, reference: str, verdict: Verdict) -> None:
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
    for one in verdict.differences[:_SHOWN]:
        app.console.note(f"{one.layer}: {one.path}: {one.what}")
    if len(verdict.differences) > _SHOWN:
        app.console.note(f"… and {len(verdict.differences) - _SHOWN} more: --json lists all")
    if verdict.equal:
        app.console.note(f"\n{reference} is what its preset and lock give, byte for byte")
    app.console.data(verdict.image.digest)
