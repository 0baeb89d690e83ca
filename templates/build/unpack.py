"""Unpack one folder of a zip archive, modes included: ARCHIVE FOLDER TARGET."""

import os
import sys
import zipfile

archive, folder, target = sys.argv[1:]
with zipfile.ZipFile(archive) as packed:
    for member in packed.infolist():
        name = member.filename.removeprefix(folder + "/")
        if name == member.filename or not name or member.is_dir():
            continue
        path = os.path.normpath(os.path.join(target, name))
        if not path.startswith(target + "/"):
            sys.exit(f"{archive}: {member.filename} leaves the folder")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with packed.open(member) as source, open(path, "wb") as copy:
            while block := source.read(1 << 20):
                copy.write(block)
        os.chmod(path, 0o755 if (member.external_attr >> 16) & 0o111 else 0o644)
