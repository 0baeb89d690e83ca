"""Write devenv/compat/wheels.yaml: for which Pythons the index has wheels of packages that are often pinned.

python tools/wheel_rows.py      asks the index for each package; read the diff
"""

from __future__ import annotations

import re
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from pypi_simple import PyPISimple

FILE = Path(__file__).resolve().parent.parent / "devenv" / "compat" / "wheels.yaml"
PACKAGES = (
    "aiohttp", "faiss-cpu", "grpcio", "h5py", "jaxlib", "kiwisolver", "lxml", "matplotlib", "numba", "numpy",
    "onnxruntime", "opencv-python", "opencv-python-headless", "pandas", "pillow", "psycopg2-binary", "pyarrow",
    "pyyaml", "scikit-image", "scikit-learn", "scipy", "sentencepiece", "spacy", "tensorflow", "tokenizers", "torch",
    "torchaudio", "torchvision", "triton", "xformers",
)  # fmt: skip
OLDEST = 8
"""Rows whose wheels are all for Pythons before 3.8 say no more than the first row."""
_OPEN = 99


def main() -> None:
    """Ask the index, and write the file."""
    lines = [
        "# Python minors for which the index has Linux wheels, by release. Written by tools/wheel_rows.py, 2026-11.",
        "# A release newer than the last row, or a package that is not here, is unknown: nothing is said about it.",
    ]
    with PyPISimple() as client:
        for name in PACKAGES:
            lines.append(f"{name}:")
            lines += (f'  - {{versions: "{versions}", python: "{python}"}}' for versions, python in _rows(client, name))
    FILE.write_text("\n".join(lines) + "\n")


def _rows(client: PyPISimple, name: str) -> list[tuple[str, str]]:
    pythons: dict[Version, set[int]] = {}
    for package in client.get_project_page(name).packages:
        try:
            _, version, _, tags = parse_wheel_filename(package.filename)
        except (InvalidVersion, InvalidWheelFilename):
            continue
        for tag in tags:
            minor = re.fullmatch(r"cp3([0-9]+)", tag.interpreter)
            fits = tag.platform == "any" or ("linux" in tag.platform and tag.platform.endswith("x86_64"))
            fits = fits and not version.is_prerelease and not tag.abi.endswith("t")
            if fits and (minor or tag.interpreter == "py3"):
                found = {int(minor[1])} if minor else {0, _OPEN}
                pythons.setdefault(version, set()).update(found | ({_OPEN} if tag.abi == "abi3" else set()))
    rows: list[list[Version | tuple[int, int]]] = []
    for version in sorted(pythons):
        span = (min(pythons[version]), max(pythons[version]))
        if rows and rows[-1][2] == span:
            rows[-1][1] = version
        else:
            rows.append([version, version, span])
    found = []
    for first, last, (low, high) in rows:  # type: ignore[misc]
        if high < OLDEST or (low == 0 and high == _OPEN):
            continue
        if not found:
            found.append((f"<{first}", f"<3.{OLDEST}"))
        python = f">=3.{low}" + ("" if high == _OPEN else f",<3.{high + 1}")
        found.append((f">={first},<={last}" if first != last else f"=={first}", python))
    return found


if __name__ == "__main__":
    main()
