"""`devenv push` and `devenv pull`: environments in registries."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devenv.cli import complete, references
from devenv.cli.app import App, json_option, pass_app, weights_dir_option
from devenv.cli.known_secrets import known_secrets
from devenv.cli.signing import key_for, sign_option
from devenv.container.names import is_name
from devenv.doors.terminal.console import bytes_text
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.container.labels import Running
    from devenv.secrets.known import KnownValues
    from devenv.share.place import InRegistry
    from devenv.share.push import Pushed, Subject
    from devenv.up.session import Session

__all__ = ["pull", "push"]


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[ENV|SNAPSHOT|PRESET] REF", shell_complete=complete.names)
@click.option(
    "--recipe", "recipe_only", is_flag=True, help="Push preset, lock and snapshot alone: the receiver builds."
)
@click.option(
    "--weights", "with_weights", is_flag=True,
    help="Push the model's files too: a registry that stands in for the hubs.",
)  # fmt: skip
@sign_option
@weights_dir_option
@json_option
@pass_app
def push(app: App, words: tuple[str, ...], recipe_only: bool, with_weights: bool, sign_with: str | None) -> None:
    """Push an environment, a snapshot or a preset's image to a registry: HOST/NAME:TAG.

    An environment that was changed is kept as a snapshot first. What is pushed is the canonical image with its recipe
    (preset, lock, their files): teammates who push the same lock push the same bytes, so only what is new is sent. The
    login is docker's own ('docker login HOST'). Files that may hold secrets refuse it. The model's files go along with
    --weights only; 'up REF' takes them from there where it cannot reach the hubs.
    """
    from devenv.doors.http.registry.reference import Reference
    from devenv.share import carried_weights
    from devenv.share.place import InRegistry
    from devenv.share.push import push as send
    from devenv.share.signatures.sign import sign_pushed
    from devenv.weights.store import Weights

    if len(words) > 2:
        raise UsageError("too many names", hint="devenv push [ENV|SNAPSHOT|PRESET] REF")
    reference = Reference.parse(words[-1])
    if reference.tag is None or reference.digest:
        why = "has a digest, which only a push makes" if reference.digest else "has no tag to push to"
        raise UsageError(
            f"{reference} {why}", hint=f"write {reference.host}/{reference.repository}:{reference.tag or 1}"
        )
    place, key = InRegistry(reference=reference), key_for(sign_with, app)
    with app.console.stages() as stages:
        session = app.session(stages)
        with stages.stage("look"):  # before a build whose result could not be pushed
            place.check(session)
        known = known_secrets(app)
        name = words[0] if len(words) == 2 else None
        with subject_of(name, app, known, session, message=f"pushed as {place}", weights=with_weights) as found:
            along = (
                [carried_weights.along(found.decided.lock, Weights(session.settings.hubs.dir))] if with_weights else []
            )
            pushed = send(found, place, known, session, recipe_only=recipe_only, along=along)
    # After the list of stages, because ssh-keygen may ask on the terminal.
    signed = None if key is None else sign_pushed(reference, pushed.digest, key, app.settings, session.cancel)
    if app.json:
        app.console.json({**dataclasses.asdict(pushed), "signed_with": signed})
    else:
        if signed:
            app.console.note(f"signed with {signed}")
        _tell(app, pushed, place)


@click.command()
@click.argument("reference", metavar="REF")
@json_option
@pass_app
def pull(app: App, reference: str) -> None:
    """Pull the image of an environment from a registry. 'devenv up REF' does it too, and starts it."""
    from devenv.share.bring import decided
    from devenv.up.image import make_image

    with app.console.stages() as stages:
        session = app.session(stages)
        remote = references.remote(reference, session)
        _, image = make_image(decided(remote, "pull", session), session)
    if app.json:
        app.console.json({
            "reference": remote.place.at(remote.digest), "digest": remote.digest, "identity": remote.identity,
            "size": remote.size, "image": image.reference,
            "signers": [{"name": one.name, "key": one.key} for one in remote.signers],
        })  # fmt: skip
    else:
        app.console.data(image.reference)


@contextlib.contextmanager
def subject_of(
    name: str | None, app: App, known: KnownValues, session: Session, *, message: str, weights: bool
) -> Iterator[Subject]:  # fmt: skip
    """An own environment of that name, or that of this folder; else a snapshot, else a preset. `weights`: its model has
    to be on this machine."""
    from devenv.container import container
    from devenv.share.subject import of_environment, of_preset, of_snapshot
    from devenv.snapshot.store import Snapshots

    kept = Snapshots(session.dirs.snapshots)
    running: Running | None = None
    if name is None:
        running = app.select(None)
    elif is_name(name) and (there := container.find(name, app.engine)) and app.is_own(there):
        running = there
    if running:
        taken = of_environment(running, known, session, message=message, weights=weights)
        with app.locked(running), taken as found:
            yield found
    elif name is not None and is_name(name) and kept.exists(name):
        yield of_snapshot(kept.get(name), session, weights=weights)
    else:
        yield of_preset(name, Path.cwd(), session, weights=weights)


def _tell(app: App, pushed: Pushed, place: InRegistry) -> None:
    app.console.note(f"{bytes_text(pushed.sent)} sent of {bytes_text(pushed.size)}; the image is {pushed.identity}")
    if pushed.weights:
        app.console.note(f"the model, for any OCI client: {place.at(pushed.weights)}")
    app.console.note(f"a teammate brings it up with: devenv up {place}")
    app.console.data(pushed.reference)
