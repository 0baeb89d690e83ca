"""Lock every shipped preset, each after those that it extends. No hub is contacted: models stay not pinned.

python tools/relock.py              keep what still fits (another devenv's templates are taken)
python tools/relock.py --upgrade    resolve those that extend nothing again; the others follow them
"""

from __future__ import annotations

import sys
from pathlib import Path

from devenv.cli import run
from devenv.preset.load import find, load, shipped


def main(arguments: list[str]) -> int:
    """The first exit status that is not 0."""
    depth = {name: len(load(find(name, Path.cwd())).chain) for name in shipped()}
    for name in sorted(depth, key=lambda preset: (depth[preset], preset)):
        wanted = ["--upgrade", *(["parent"] if depth[name] > 1 else [])] if "--upgrade" in arguments else []
        if status := run(["lock", name, "--without-model", *wanted]):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
