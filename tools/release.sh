#!/bin/sh
# Build dist/devenv-VERSION.tar.gz and the wheel from it, install the wheel alone into a fresh virtual environment, and bring
# `rapidocr` up with it. Publishes nothing.
set -eu
python=${1:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
name=release-check-$$
trap '"$work/venv/bin/devenv" down --volumes "$name" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

rm -rf "$here/dist"
(cd "$here" && .venv/bin/python -m hatchling build --target sdist)
"$here/.venv/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$here/dist" "$here"/dist/devenv-*.tar.gz
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$here"/dist/devenv-*.whl
unset PYTHONPATH
cd "$work" # so that nothing of the checkout is imported
"$work/venv/bin/devenv" up rapidocr --name "$name" --relock
echo "rapidocr came up with the wheel alone. In $here/dist:" >&2
ls "$here/dist"
