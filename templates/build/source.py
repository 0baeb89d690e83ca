"""The steps of making a wheel from source:

    unpack ARCHIVE FOLDER · build OUT BACKEND [FOLDER…] · end LOG · take OUT WHEEL NAME VERSION

The first two run as a user without rights, because `build` runs the package's own code. `take` reads what that code
left behind, and writes the wheel again, with nothing in it that differs between two builds.
"""

import importlib
import importlib.metadata
import json
import os
import re
import stat
import sys
import tarfile
import zipfile
from email.parser import HeaderParser

TIME = (2023, 11, 14, 22, 13, 20)
MOST_BYTES = 4 << 30
MOST_MEMBERS = 200_000


def unpack(archive, folder):
    """Unpack an archive without its one top folder: files, folders, and links that stay inside."""
    if archive.endswith(".zip"):
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                place = below(folder, member.filename)
                if place and member.is_dir():
                    os.makedirs(place, exist_ok=True)
                elif place:
                    with members.open(member) as content:
                        put(place, content, (member.external_attr >> 16) & 0o100)
        return
    with tarfile.open(archive, "r|*") as members:
        for member in members:
            place = below(folder, member.name)
            if not place or member.isdir():
                os.makedirs(place or folder, exist_ok=True)
            elif member.isreg():
                put(place, members.extractfile(member), member.mode & 0o100)
            elif member.issym():
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.symlink(member.linkname, place)
            elif member.islnk():
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.link(below(folder, member.linkname), place)
            else:
                sys.exit(f"{member.name} is neither a file nor a folder")


def below(folder, name):
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or name.startswith("/"):
        sys.exit(f"{name} leaves the archive's folder")
    return os.path.join(folder, *parts[1:]) if parts[1:] else None


def put(place, content, is_program):
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "xb") as copy:
        while block := content.read(1 << 20):
            copy.write(block)
    os.chmod(place, 0o755 if is_program else 0o644)
    os.utime(place, (1700000000, 1700000000))


def build(out, named, *folders):
    """Call the backend's hooks (PEP 517) in the current folder. Where it asks for more than there is, `out` gets the
    list and no wheel."""
    # Not the folder of this script. A backend without folders of its own must not find the package itself.
    sys.path[0:1] = [os.path.abspath(folder) for folder in folders]
    module, _, inner = named.partition(":")
    sys.argv[:] = ["setup.py"]
    backend = importlib.import_module(module)
    for part in filter(None, inner.split(".")):
        backend = getattr(backend, part)
    asks = getattr(backend, "get_requires_for_build_wheel", None)
    wanted = [line for line in (asks({}) if asks else ()) if not is_there(line)]
    if wanted:
        with open(os.path.join(out, "requires.json"), "w", encoding="utf-8") as stream:
            json.dump(wanted, stream)
        return
    backend.build_wheel(out, {}, None)


def is_there(requirement):
    """Whether a package of that name is installed: the lock chose its version by all that was asked for."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def end(log):
    """Print the end of what a build printed, without the frames of the backend, which hide what came before them."""
    with bounded(log, MOST_BYTES) as file:
        file.seek(-min(40_000, os.fstat(file.fileno()).st_size), os.SEEK_END)
        lines = file.read().decode("utf-8", "replace").splitlines()
    shown, is_frame = [], False
    for line in lines:
        if re.match(r" *File \"/(opt/build|usr/lib)/", line):
            is_frame = True
        elif not (is_frame and line.startswith("    ")):
            is_frame = False
            shown.append(line)
    print("\n".join(shown[-60:]))


def take(out, target, name, version):
    """Check the one wheel in `out`, and write it to `target` sorted, with fixed times and modes. `@COMMIT` stands for
    whatever version that commit has."""
    found = sorted(os.listdir(out))
    if found == ["requires.json"]:
        with bounded(os.path.join(out, "requires.json"), 1 << 20) as asked:
            content = asked.read()
        with open(os.path.join(target, "requires.json"), "wb") as copy:
            copy.write(content)
        return
    wheels = [each for each in found if each.endswith(".whl")]
    if len(wheels) != 1 or not re.fullmatch(r"[A-Za-z0-9_.!+-]+\.whl", wheels[0]):
        sys.exit(f"devenv: the build of {name} {version} made {len(wheels)} wheels")
    with bounded(os.path.join(out, wheels[0]), MOST_BYTES) as file, zipfile.ZipFile(file) as wheel:
        members = {each.filename: each for each in wheel.infolist() if not each.is_dir()}
        if len(members) > MOST_MEMBERS or sum(each.file_size for each in members.values()) > MOST_BYTES:
            sys.exit(f"devenv: the wheel of {name} {version} is too large")
        infos = [each for each in members if re.fullmatch(r"[^/]+\.dist-info/METADATA", each)]
        if len(infos) != 1 or any(each.startswith("/") or ".." in each.split("/") for each in members):
            sys.exit(f"devenv: the build of {name} {version} made no valid wheel")
        says = HeaderParser().parsestr(wheel.read(infos[0]).decode("utf-8", "replace"))
        if not same(says, name, says["Version"] if version.startswith("@") else version):
            sys.exit(f"devenv: the build of {name} {version} made the wheel of {says['Name']} {says['Version']}")
        write(wheel, members, os.path.join(target, wheels[0]))


def write(wheel, members, path):
    record = next(each for each in members if each.endswith(".dist-info/RECORD"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as copy:
        for each in sorted(members, key=lambda one: (".dist-info/" in one, one == record, one)):
            entry = zipfile.ZipInfo(each, TIME)
            program = (members[each].external_attr >> 16) & 0o111
            entry.external_attr = (stat.S_IFREG | (0o755 if program else 0o644)) << 16
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            content = wheel.read(each)
            copy.writestr(entry, content if each != record else sorted_lines(content))


def sorted_lines(content):
    lines = content.decode("utf-8", "replace").splitlines()
    return "".join(f"{line}\n" for line in sorted(lines)).encode()


def bounded(path, most):
    """A regular file of at most `most` bytes, opened without following a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
        sys.exit(f"devenv: {path} is no file, or too large")
    return os.fdopen(descriptor, "rb")


def plain(name):
    return re.sub(r"[-_.]+", "-", name or "").lower()


def same(says, name, version):
    """Whether both are one version, which an index and a backend may write in different ways."""
    return plain(says["Name"]) == plain(name) and normal(says["Version"]) == normal(version)


WORDS = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc", "rev": "post", "r": "post"}


def normal(version):
    """A version as the specification of versions writes it, without zeros at the end of its release."""
    text = re.sub(r"^([\d.]+)-(\d+)", r"\1.post\2", (version or "").lower().strip().lstrip("v"))
    text, plus, local = text.partition("+")
    text = re.sub(
        r"[-_.]?(alpha|beta|preview|pre|post|rev|dev|rc|a|b|c|r)[-_.]?(\d*)",
        lambda match: f"{WORDS.get(match[1], match[1])}{int(match[2] or 0)}",
        text,
    )
    return re.sub(r"^([\d.]*?)(\.0)+(?=$|[a-z])", r"\1", text) + plus + re.sub(r"[-_]", ".", local)


if __name__ == "__main__":
    {"unpack": unpack, "build": build, "end": end, "take": take}[sys.argv[1]](*sys.argv[2:])
