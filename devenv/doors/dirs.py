"""The folders of devenv's own data (templates, shipped presets), and of its files on this machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def share_dir() -> Path:
    """The folder that holds `templates/` and `presets/`: inside the wheel, else the checkout's top."""
    packed = _PACKAGE / "_share"
    return packed if packed.is_dir() else _PACKAGE.parent


def templates_dir() -> Path:
    """The Jinja templates and the files that go into images."""
    return share_dir() / "templates"


RENDERING = 1
"""Raise it when the same templates render to other bytes: golden files then change although templates did not."""


@functools.cache
def templates_digest() -> str:
    """sha256 (hex) over the names and contents of all templates: they decide an image as much as its inputs.

    Modes do not count, because a wheel loses them.
    """
    root = templates_dir()
    digest = hashlib.sha256(f"{RENDERING}\n".encode())
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def presets_dir() -> Path:
    """The shipped presets, one folder each."""
    return share_dir() / "presets"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dirs:
    """This user's folders, after XDG: `cache` may be deleted at any time, `state` holds tokens and ports."""

    cache: Path
    state: Path
    config: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Dirs:
        """The folders that the environment variables name, or the usual ones below HOME."""

        def xdg(variable: str, default: str) -> Path:
            return Path(environ.get(variable) or Path(environ["HOME"]) / default) / "devenv"

        return cls(
            cache=xdg("XDG_CACHE_HOME", ".cache"),
            state=xdg("XDG_STATE_HOME", ".local/state"),
            config=xdg("XDG_CONFIG_HOME", ".config"),
        )

    @property
    def store(self) -> Path:
        """The content-addressed artifact store."""
        return self.cache / "store"

    @property
    def contexts(self) -> Path:
        """Build contexts: one stable folder per environment, so that BuildKit sends only what changed."""
        return self.cache / "contexts"

    @property
    def environments(self) -> Path:
        """One folder per environment: token, ports and the files for the container."""
        return self.state / "envs"

    @property
    def snapshots(self) -> Path:
        """One folder per snapshot."""
        return self.state / "snapshots"

    @property
    def blobs(self) -> Path:
        """Blobs of registries that arrive, by their sha256."""
        return self.cache / "blobs"

    @property
    def recipes(self) -> Path:
        """The recipes of images in registries, by their sha256."""
        return self.state / "recipes"

    @property
    def images(self) -> Path:
        """A file for each tag that this user's devenv gave to an image."""
        return self.state / "images"

    @property
    def uploads(self) -> Path:
        """A folder for each unfinished upload to a registry."""
        return self.cache / "uploads"

    @property
    def locks(self) -> Path:
        """Locks of shipped presets that were resolved again on this machine."""
        return self.state / "locks"
