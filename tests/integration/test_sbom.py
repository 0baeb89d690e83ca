"""The bill of materials, made by processes of their own: nothing of the machine is in it, and few pay for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devenv.lock.files import beside
from devenv.lock.model import read
from devenv.preset.load import find, load
from devenv.render.sbom import sbom
from tests.integration.conftest import Cli


def test_the_same_lock_gives_the_same_bytes_in_another_process_and_zone() -> None:
    path = beside(load(find("python", Path.cwd())).path)
    code = "import sys; from pathlib import Path; from devenv.lock.model import read; from devenv.render.sbom import sbom\n"
    code += "sys.stdout.buffer.write(sbom(read(Path(sys.argv[1]))))"
    told = [
        _process([sys.executable, "-c", code, str(path)], {"TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"})
        for zone, seed in (("Asia/Tokyo", "1"), ("UTC", "2"))
    ]
    assert told[0] == told[1] == sbom(read(path))


def test_the_library_is_imported_only_for_the_build_context() -> None:
    code = """
import sys
from pathlib import Path
from devenv.lock.model import read
from devenv.lock.files import beside
from devenv.plan.plan import plan
from devenv.preset.load import find, load
from devenv.render.render import render
import devenv.up.up
loaded = load(find("python", Path.cwd()))
decided = plan(loaded, read(beside(loaded.path)))
render(decided, with_context=False)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("cyclonedx", "packageurl")))
render(decided)
print("cyclonedx.model.bom" in sys.modules)
"""
    assert _process([sys.executable, "-c", code], {}).decode().splitlines() == ["[]", "True"]


def test_the_command_prints_it(tmp_path: Path) -> None:
    assert Cli(tmp_path).ok("sbom", "python").out.encode() == sbom(read(beside(load(find("python", Path.cwd())).path)))


def _process(command: list[str], env: dict[str, str]) -> bytes:
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, check=True).stdout
