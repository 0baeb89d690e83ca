"""devcontainer.json: image or Dockerfile, features, ports, commands, variables, requirements of the machine.

The format: containers.dev, "Development Container metadata reference".
"""

from __future__ import annotations

import re

from devenv.adopt.facts.document import Document
from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.tree import at, items, jsonc_tree, text
from devenv.adopt.readers import base_image, dockerfile, shell
from devenv.adopt.readers.values import environment, port, size
from devenv.preset.model import CONTAINER_PATH
from devenv.preset.yaml.nodes import Node

_COMMANDS = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
_EACH_START = ("postStartCommand", "postAttachCommand")
_KNOWN_FEATURES = frozenset({"common-utils", "git", "sshd", "jupyterlab", "conda", "anaconda"})
"""Features whose work devenv's own presets do, or that bring only tools."""


def read(document: Document, reading: Reading) -> None:
    """What the dev container has."""
    top = jsonc_tree(document, reading.problems)
    if top is None:
        return
    _base(top, document, reading)
    features = at(top, "features")
    for name, node in features.entries.items() if features else ():
        _feature(name, node, reading)
    for key in ("forwardPorts", "appPort"):
        for node in items(at(top, key)) or filter(None, (at(top, key),)):
            if text(node):
                port(text(node), node.mark, reading)
    for key in ("containerEnv", "remoteEnv"):
        variables = at(top, key)
        for name, node in variables.entries.items() if variables else ():
            environment(name, text(node), node.mark, reading)
    for key in _COMMANDS:
        _command(at(top, key), reading)
    for key in _EACH_START:
        if command := at(top, key):
            remedy = "describe it under 'services' or 'setup'"
            reading.leave(f"{key} {_words(command)[:80]}", "it runs at every start", command.mark, remedy=remedy)
    _machine(top, reading)
    for node in items(at(top, "mounts")):
        _mount(node, reading)
    _editor(top, reading)


def _base(top: Node, document: Document, reading: Reading) -> None:
    if (image := at(top, "image")) and text(image):
        base_image.read(text(image), image.mark, reading)
    named = at(top, "build", "dockerfile") or at(top, "dockerFile")
    if named is not None and text(named):
        found = reading.project.named(text(named), document.path, reading.problems, named.mark)
        if found is not None:
            dockerfile.read(found, reading)
    if compose := at(top, "dockerComposeFile"):
        remedy = "start other services beside the environment, or describe them under 'services'"
        reading.leave(
            f"dockerComposeFile {_words(compose)[:80]}", "an environment is one container", compose.mark, remedy=remedy
        )


def _feature(name: str, node: Node, reading: Reading) -> None:
    short = re.sub(r"[:@].*", "", name.rpartition("/")[2])
    version = text(at(node, "version")) or text(node)
    numbers = re.match(r"3\.[0-9]+", version)
    if short == "python":
        if numbers:
            reading.take(Kind.PYTHON, f"=={numbers[0]}.*", node.mark)
    elif short in {"nvidia-cuda", "cuda"}:
        cuda = re.match(r"[0-9]+\.[0-9]+", text(at(node, "cudaVersion")))
        reading.take(Kind.CUDA, cuda[0] if cuda else "", node.mark, firm=False)
        reading.take(Kind.GPU, "true", node.mark)
    elif short in {"apt-packages", "apt-get-packages"}:
        for package in re.split(r"[,\s]+", text(at(node, "packages"))):
            if package:
                shell.package(package, node.mark, reading)
    elif short == "git-lfs":
        reading.take(Kind.APT, "git-lfs", node.mark)
    elif short not in _KNOWN_FEATURES:
        reading.leave(f"feature {name[:80]}", "features are scripts that run as root", node.mark,
                      remedy="add the Debian packages that you need to 'apt'")  # fmt: skip


def _command(node: Node | None, reading: Reading) -> None:
    """A lifecycle command: an installation becomes packages, another one a setup step."""
    if node is None:
        return
    if node.entries:
        for each in node.entries.values():
            _command(each, reading)
        return
    words = _words(node)
    if shell.understood(words):
        shell.read(words, node.mark, reading)
    elif re.search(r"\b(sudo|apt|apt-get|conda|mamba|poetry|uv|pipenv|pip[0-9.]* install)\b", words):
        why = "it changes the image, or needs tools that the image does not have"
        remedy = "add packages to 'pip' and 'apt', and the rest to 'setup'"
        reading.leave(f"command {words[:100]}", why, node.mark, remedy=remedy)
    elif words:
        reading.take(Kind.SETUP, words, node.mark)


def _words(node: Node) -> str:
    """A command as text; a list of words in the shell's quotes where they need some."""
    import shlex

    if node.entries:
        return "; ".join(map(_words, node.entries.values()))
    return shlex.join(text(item) for item in node.items) if node.items else text(node)


def _machine(top: Node, reading: Reading) -> None:
    needs = at(top, "hostRequirements")
    gpu = at(needs, "gpu")
    if gpu is not None and text(gpu) != "false":
        reading.take(Kind.GPU, "true", gpu.mark, firm=text(gpu) != "optional")
    memory = at(needs, "memory")
    if memory is not None and (found := size(text(memory))):
        reading.take(Kind.MEMORY, found, memory.mark)
    arguments = at(top, "runArgs")
    words = [text(item) for item in arguments.items] if arguments else []
    for number, word in enumerate(words):
        assert arguments is not None
        mark = arguments.items[number].mark
        name, sign, value = word.partition("=")
        value = value if sign else words[number + 1] if number + 1 < len(words) else ""
        if name == "--gpus":
            reading.take(Kind.GPU, "true", mark)
        elif name == "--shm-size":
            if found := size(value):
                reading.take(Kind.SHM, found, mark)
        elif name in {"-e", "--env"}:
            key, _, said = value.partition("=")
            environment(key, said, mark, reading)
        elif name.startswith("-") and name not in {"--name", "--runtime", "--init", "--ipc", "--rm", "--hostname"}:
            reading.leave(f"runArgs {word[:80]}", "devenv decides how the container is started", mark,
                          remedy="leave it, or run the image yourself: devenv export")  # fmt: skip


def _mount(node: Node, reading: Reading) -> None:
    parts = {key: text(value) for key, value in node.entries.items()}
    if not parts:
        parts = dict(part.partition("=")[::2] for part in text(node).split(","))
    target = parts.get("target") or parts.get("dst") or parts.get("destination") or ""
    source = parts.get("source") or parts.get("src") or ""
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\$\{[^}]*\}", "", source).lower()).strip("-")[:40].strip("-")
    if parts.get("type") == "volume" and re.fullmatch(CONTAINER_PATH, target):
        reading.take(Kind.VOLUME, target, node.mark, name=name or "data")
    else:
        remedy = "copy the data into the project, or use a volume"
        reading.leave(f"mount of {target[:80] or '?'}", "only volumes and the project's folder are mounted", node.mark,
                      remedy=remedy)  # fmt: skip


def _editor(top: Node, reading: Reading) -> None:
    code = at(top, "customizations", "vscode")
    listed = at(code, "extensions") or at(top, "extensions")
    if listed is not None and listed.items:
        names = ", ".join(text(item) for item in listed.items if text(item))
        why = "names need a registry of extensions in your settings"
        reading.leave(f"editor extensions: {names[:300]}", why, listed.mark,
                      remedy="name them in 'extensions:', see docs/how-to/editor-extensions.md")  # fmt: skip
    settings = at(code, "settings") or at(top, "settings")
    if settings is not None and settings.entries:
        own = {key: value for key, value in settings.entries.items() if isinstance(value.value, str)}
        names = ", ".join(sorted(own or settings.entries)[:8])
        reading.leave(f"editor settings: {names}", "a preset has no editor settings", settings.mark,
                      remedy="put them into .vscode/settings.json of the project, which the editor reads")  # fmt: skip
