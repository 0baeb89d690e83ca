"""Which image is verified, and against what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.container import container
from devenv.errors import PresetError, UsageError
from devenv.up.session import Session
from devenv.verify import subject as room
from devenv.verify.subject import subject
from tests.unit.handmade import session as make_session
from tests.unit.handmade import settings

TEXT = 'base: {bootstrap: debian/bookworm}\npython: "3.11"\n'


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """One environment, `demo`, runs the image `sha256:demo`; the engine has that and `devenv/other:1`."""
    running = SimpleNamespace(name="demo", unreadable="", facts=SimpleNamespace(image="sha256:demo"))
    monkeypatch.setattr(container, "everything", lambda _: (running,))
    monkeypatch.setattr(room, "decide", lambda path, _: f"decided {path.name}")
    monkeypatch.setattr(room, "restore", lambda reference, folder, _: folder / f"{reference} carries")
    monkeypatch.setattr(room, "make_image", lambda decided, _: (decided, SimpleNamespace(reference="built")))
    known = {"sha256:demo", "devenv/other:1"}
    engine = SimpleNamespace(image_id=lambda name: name if name in known else None)
    return make_session(settings(tmp_path), engine)


@pytest.mark.parametrize(
    ("what", "image", "result"),
    [
        ("demo", None, ("sha256:demo", "decided sha256:demo carries")),
        ("devenv/other:1", None, ("devenv/other:1", "decided other:1 carries")),
        (None, None, ("built", "decided devenv.yaml")),
        (None, "elsewhere:1", ("elsewhere:1", "decided devenv.yaml")),
    ],
)
def test_a_name_is_a_preset_else_an_environment_else_an_image(
    what: str | None, image: str | None, result: Any, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "devenv.yaml").write_text(TEXT)
    assert subject(what, session, cwd=tmp_path, folder=tmp_path / "out", image=image) == result


def test_a_name_that_is_nothing_is_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown preset, environment or image 'nope'"):
        subject("nope", session, cwd=tmp_path, folder=tmp_path)
    for what, image in ((None, None), ("nope", "elsewhere:1")):
        with pytest.raises(PresetError):
            subject(what, session, cwd=tmp_path, folder=tmp_path, image=image)
