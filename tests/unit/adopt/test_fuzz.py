"""Any bytes become facts or one clear error: never a traceback, and never a file that devenv itself refuses to read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.adopt.adopt import adopt
from devenv.compat.matrix import read
from devenv.doors.terminal.console import printable
from devenv.errors import DevenvError
from tests.unit.adopt import test_formats as formats
from tests.unit.handmade import settings

SEEDS = {
    "requirements.txt": b"-r a.txt\nrich[a]>=1,<2 ; python_version<'3' --hash=sha256:00 \\\nb @ https://x/b.whl\n-e .\n",
    "pyproject.toml": formats.PROJECT.encode() + formats.POETRY.encode(),
    "uv.lock": formats.UV_LOCK.encode(),
    "poetry.lock": b'[[package]]\nname = "a"\nversion = "1"\ngroups = ["main"]\n[package.source]\ntype = "git"\n',
    "Pipfile": b'[packages]\na = {version = "*", extras = ["b"]}\n[requires]\npython_version = "3.9"\n',
    "Pipfile.lock": b'{"_meta": {"requires": {"python_version": "3"}}, "default": {"a": {"version": "==1", "markers": "x"}}}',
    "environment.yml": b"dependencies:\n- python=3.9\n- numpy=1.2.*=py\n- pip:\n  - a\nvariables: {A: b}\n",
    ".devcontainer/devcontainer.json": formats.DEVCONTAINER.encode(),
    "Dockerfile": formats.DOCKERFILE.encode(),
    "cog.yaml": b"build:\n  gpu: true\n  cuda: '11.8'\n  python_packages: [a==1]\n  run: [pip install b]\nenvironment: [A=b]\n",
    "apt.txt": b"a b=1\n",
    "runtime.txt": b"python-3.9\n",
    "postBuild": b"#!/bin/bash\npip install 'a' && echo $(b)\n",
    ".python-version": b"3.12.1\n",
    ".project/spec.yaml": b"environment: {base: {image: a, cuda_version: '12'}}\nexecution: {mounts: [{type: volume, target: /a}]}\n",
    "variables.env": b"A=b\n",
    "setup.py": formats.SETUP.encode(),
    "setup.cfg": b"[options]\ninstall_requires =\n  rich\npython_requires = >=3\n",
}


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """A real file with some bytes replaced, repeated or dropped; or any bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b'"', b"[", b"{}", b"\n", b" = ", b": ", b"0", b"null", b"-", b"\t", b"\\", b"$"]),
            )
        )
        data[at:end] = piece
    return bytes(data)


def _adopts_or_says_why(folder: Path, source: Path) -> None:
    try:
        adopted = adopt(source, folder, settings=settings(folder), matrix=read())
    except DevenvError as error:
        for one in getattr(error, "problems", ()) or (error,):
            assert one.message
            assert "in the new devenv.yaml" not in one.message, one.detail
        return
    assert printable(adopted.text.replace("\n", " ")) == adopted.text.replace("\n", " ")


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", SEEDS)
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder), name, data.draw(changed(SEEDS[name])))
        _adopts_or_says_why(Path(folder), path)


@given(data=st.data())
def test_any_bytes_in_a_folder(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(SEEDS)), min_size=1, max_size=8, unique=True))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            _write(Path(folder), name, SEEDS[name] if data.draw(st.booleans()) else data.draw(changed(SEEDS[name])))
        _adopts_or_says_why(Path(folder), Path(folder))
