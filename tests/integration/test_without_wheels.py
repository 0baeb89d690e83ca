"""Packages without wheels, against the real engine: an index in a folder has one that is pure, one that is compiled, and
one that cannot be built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.lock.model import read
from tests.integration.conftest import Cli, docker
from tests.unit.sdists import sdist

pytestmark = pytest.mark.engine
_ID = (
    "import os\nassert os.getuid() and not os.listdir(os.path.expanduser('~'))\n"
    "assert not os.access('/run/lock', os.W_OK), 'a folder without a limit'\n"
    "clock = os.stat(f'/proc/{os.getppid()}')\nassert clock.st_uid == 0, 'a clock that it can stop'\n"
)
PURE = f"{_ID}from setuptools import setup\nsetup(name='t-pure', version='1.0', py_modules=['t_pure'], install_requires=['six'])\n"
NATIVE = (
    "from setuptools import Extension, setup\n"
    "setup(name='t-native', version='2', ext_modules=[Extension('t_native', ['t_native.c'])])\n"
)
CODE = (
    '#include <Python.h>\nstatic struct PyModuleDef it = {PyModuleDef_HEAD_INIT, "t_native", NULL, -1, NULL};\n'
    "PyMODINIT_FUNC PyInit_t_native(void) { return PyModule_Create(&it); }\n"
)
LOST = "import urllib.request\nprint('\\x1b[31masking')\nurllib.request.urlopen('http://192.0.2.1')\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder of sources, as pip's find-links takes it."""
    folder = tmp_path / "index"
    folder.mkdir()
    sdist(folder, "t-pure", "1.0", {"setup.py": PURE, "t_pure.py": "X = 1\n"})
    sdist(folder, "t-pure", "0.9", {"setup.py": "raise SystemExit('an older one')\n"})
    sdist(folder, "t-native", "2", {"setup.py": NATIVE, "t_native.c": CODE})
    sdist(folder, "t-lost", "1", {"setup.py": LOST})
    return folder


def _project(folder: Path, name: str, pip: list[str]) -> Path:
    folder.mkdir()
    _write(folder, name, pip)
    return folder


def _write(folder: Path, name: str, pip: list[str]) -> None:
    text = f"name: {name}\nbase: {{bootstrap: debian/bookworm}}\npython: '3.11'\npip: {json.dumps(pip)}\n"
    (folder / "devenv.yaml").write_text(text)


def test_sources_are_locked_built_and_shared(cli: Cli, index: Path, tmp_path: Path) -> None:
    mine = {"PIP_FIND_LINKS": str(index), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    store = Path(cli.env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devenv"
    (tmp_path / "cache" / "devenv").mkdir(parents=True)
    # The store of this user, with no wheel that an earlier run made of these sources.
    (tmp_path / "cache" / "devenv" / "store").symlink_to(store / "store")
    for old in (store / "store" / "derived" / "source-wheel").glob("*/t_*.whl"):
        old.unlink()
    first = _project(tmp_path / "t-source", "t-source", ["t-pure", "t-native"])
    locked = cli("lock", cwd=first, env=mine)
    assert locked.code == 0, locked.err
    lock = read(first / "devenv.lock")
    assert [(one.name, one.version, one.toolchain) for one in lock.sourced] == [
        ("t-native", "2", True),
        ("t-pure", "1.0", None),
    ]
    assert "six" in {one.name for one in lock.wheels}, "what setup.py alone tells"
    assert {"setuptools", "wheel"} <= {one.name for one in lock.required}
    assert {deb.name for deb in lock.debs()["sources"]} >= {"g++", "python3.11-dev"}
    built = cli("build", "--json", cwd=first, env=mine)
    assert built.code == 0, built.err
    image = docker("images", "--quiet", "devenv/t-source").split()[0]
    check = (
        "import t_pure, t_native, six, shutil, os; print(t_pure.X, shutil.which('gcc'), os.path.exists('/opt/build'))"
    )
    assert docker("run", "--rm", image, "python", "-c", check).split() == ["1", "None", "False"]
    kept = sorted(path.name for path in (store / "store" / "derived" / "source-wheel").glob("*/t_*.whl"))
    assert kept == ["t_native-2-cp311-cp311-linux_x86_64.whl", "t_pure-1.0-py3-none-any.whl"]
    # Another preset takes the wheels from the store.
    second = _project(tmp_path / "t-other", "t-other", ["t-native", "t-pure"])
    (second / "devenv.lock").write_text((first / "devenv.lock").read_text().replace('"t-source"', '"t-other"'))
    shared = cli("build", cwd=second, env=mine)
    assert shared.code == 0, shared.err
    assert "make-source" not in shared.err
    # A build that wants the network gets none, the error says so, and the lock stays as it was.
    before = (first / "devenv.lock").read_bytes()
    _write(first, "t-source", ["t-pure", "t-native", "t-lost"])
    failed = cli("lock", cwd=first, env=mine)
    assert failed.code == 4
    assert "t-lost 1 cannot be built from t-lost-1.tar.gz: setup.py:3 failed" in failed.err
    assert "devenv.yaml:4:" in failed.err
    assert "for the network, which no build gets" in failed.err
    assert "\x1b" not in failed.err
    assert (first / "devenv.lock").read_bytes() == before
