"""Check a folder against what devenv wrote into it, and give its files the modes that they had: FOLDER.

git does not keep modes and may change line ends, an ignore file may leave a file out, an editor may save one. Each of
these would silently give another image. `online/SHA256SUMS` has a line for every file: MODE SHA256 PATH.
"""

import hashlib
import os
import sys

folder = sys.argv[1]
wanted = {}
with open(os.path.join(folder, "online", "SHA256SUMS"), encoding="utf-8") as stream:
    for line in stream:
        mode, sha256, path = line.rstrip("\n").split(" ", 2)
        wanted[path] = (int(mode, 8), sha256)
found = {}
for top, _, names in os.walk(folder):
    os.chmod(top, 0o755)
    for name in names:
        path = os.path.join(top, name)
        found[os.path.relpath(path, folder)] = path
for own in ("Dockerfile", "online/SHA256SUMS"):
    found.pop(own, None)
wrong = [f"{path}: is missing" for path in wanted.keys() - found.keys()]
wrong += [f"{path}: is not devenv's" for path in found.keys() - wanted.keys()]
for path in wanted.keys() & found.keys():
    mode, sha256 = wanted[path]
    with open(found[path], "rb") as stream:
        if hashlib.sha256(stream.read()).hexdigest() != sha256:
            wrong.append(f"{path}: was changed")
    os.chmod(found[path], mode)
if wrong:
    more = [f"and {len(wrong) - 20} more"] if len(wrong) > 20 else []
    sys.exit("\n".join(["devenv: this folder is not what devenv wrote:", *sorted(wrong)[:20], *more,
                        "Write it again: devenv render --online"]))  # fmt: skip
