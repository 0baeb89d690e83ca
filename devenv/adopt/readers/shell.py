"""Shell commands of image builds: installations become facts, the rest is left out.

No shell runs. A command that the words of a shell do not explain is left out, never guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.readers import conda, index, requirements
from devenv.preset.yaml.nodes import Mark

_MOST = 100_000
_BUILTIN = frozenset({
    "apt-key", "cd", "chmod", "chown", "dpkg-reconfigure", "echo", "export", "find", "groupadd", "ldconfig", "ln",
    "locale-gen", "mkdir", "mv", "rm", "set", "sed", "source", "true", "update-alternatives", "useradd", "usermod",
    "adduser", "addgroup", ".", ":", "[", "test", "hash", "which", "shopt", "unset", "exit", "fi", "then", "else",
    "if", "elif", "do", "done", "for", "while",
})  # fmt: skip
"""Commands that prepare an image without putting a program into it."""
_ELSEWHERE = "put what it makes into the image with 'files', or run it in a setup step"
_APT_VALUES = frozenset({"-o", "-t", "--option", "--target-release", "-c", "--config-file"})
_PIP_VALUES = frozenset({
    "--timeout", "--default-timeout", "--retries", "--target", "--prefix", "--root", "--cache-dir", "--python", "-p",
    "--progress-bar", "--upgrade-strategy", "--use-feature", "--only-binary", "--no-binary", "--platform",
    "--python-version", "--log", "--proxy", "--cert", "--global-option", "--install-option", "--config-settings",
    "--index-strategy", "--root-user-action", "--exists-action", "--abi", "--implementation", "-C", "--torch-backend",
    "--link-mode", "--src", "--trusted-host", "--extra", "--group",
})  # fmt: skip


_PIP_OPTIONS = frozenset({
    "-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-e",
    "--editable",
})  # fmt: skip


def read(command: str, mark: Mark, reading: Reading) -> None:
    """What a command line states. `mark`: where it stands."""
    others: list[str] = []
    for words in _commands(command[:_MOST]):
        if words is None:
            reading.leave(_short(command), "its shell syntax is not interpreted", mark, remedy=_ELSEWHERE)
            return
        _one(words, mark, reading, others)
    if others:
        what = "; ".join(others[:4]) + ("; …" if len(others) > 4 else "")
        reading.leave(what, "only commands that install packages are taken", mark, remedy=_ELSEWHERE)


def understood(command: str) -> bool:
    """Whether a command line is made only of installations that `read` takes."""
    commands = list(_commands(command[:_MOST]))
    return bool(commands) and all(words is not None and _installer(words) is not None for words in commands)


def _commands(command: str) -> Iterator[list[str] | None]:
    """The words of each command; None for what only a shell can tell."""
    command = re.sub(r"\\[ \t]*\n", " ", command)
    command = " ; ".join(line for line in command.split("\n") if not line.lstrip().startswith("#"))
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|<>()")
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if word in {"&&", ";", "||", ";;", "&", "|"} or (set(word) <= set(";&|")):
                if words:
                    yield words
                words = []
            elif set(word) & set("()") and set(word) <= set("();&|<>"):
                yield None
                return
            else:
                words.append(word)
    except ValueError:
        yield None
        return
    if words:
        yield words


def _one(words: Sequence[str], mark: Mark, reading: Reading, others: list[str]) -> None:
    """Take what one command installs; what it does otherwise is added to `others`."""
    words = _plain(words)
    if not words:
        return
    installer = _installer(words)
    if installer is not None:
        kind, rest = installer
        match kind:
            case "apt":
                _apt(rest, mark, reading)
            case "pip":
                _pip(rest, mark, reading)
            case "conda":
                _conda(rest, mark, reading)
        return
    name = words[0].rpartition("/")[2]
    if name in {"poetry", "pipenv", "pdm"} or (name == "uv" and "sync" in words):
        if not any(map(reading.project.has, ("pyproject.toml", "Pipfile"))):
            others.append(_short(shlex.join(words)))
        return  # the project's own file has what they install
    if name in {"apt-get", "apt", "conda", "mamba", "micromamba", "pip", "pip3", "uv", "npm"} and not _installs(words):
        return  # update, clean, config …
    if name not in _BUILTIN:
        others.append(_short(shlex.join(words)))


def _plain(words: Sequence[str]) -> list[str]:
    """Without `sudo`, variables in front, `time`, `if`, and redirections."""
    rest = list(words)
    while rest and (
        rest[0] in {"sudo", "-E", "-H", "time", "then", "do", "else", "exec", "env"}
        or re.match(r"[A-Za-z_]\w*=", rest[0])
    ):
        rest.pop(0)
    found, skip = [], False
    for word in rest:
        if skip:
            skip = False
        elif re.fullmatch(r"[0-9]*[<>]+&?[0-9]?", word):
            skip = not word.endswith(("&1", "&2"))
        else:
            found.append(word)
    return found


def _installs(words: Sequence[str]) -> bool:
    return bool({"install", "create", "add", "sync", "i", "ci", "run"} & set(words[1:4]))


def _installer(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """The kind of installation, and the words after `install`."""
    words = _plain(words)
    if not words:
        return None
    name, rest = words[0].rpartition("/")[2], words[1:]
    if re.fullmatch(r"python[0-9.]*", name) and rest[:1] == ["-m"] and rest[1:2] in (["pip"], ["uv"]):
        name, rest = rest[1], rest[2:]
    if name == "uv" and rest[:1] == ["pip"]:
        name, rest = "pip", rest[1:]
    if name in {"apt-get", "apt", "aptitude"}:
        return _after("apt", rest, _APT_VALUES)
    if re.fullmatch(r"pip[0-9.]*", name):
        return _after("pip", rest, _PIP_VALUES)
    if name in {"conda", "mamba", "micromamba"}:
        return _after("conda", rest, frozenset())
    return None


def _after(kind: str, words: Sequence[str], values: frozenset[str]) -> tuple[str, list[str]] | None:
    """The words after the subcommand `install`; None for another subcommand."""
    rest, before = list(words), []
    while rest and rest[0].startswith("-"):
        before.append(rest.pop(0))
        if before[-1] in values and rest:
            before.append(rest.pop(0))
    return (kind, [*before, *rest[1:]]) if rest[:1] == ["install"] else None


def _apt(words: Sequence[str], mark: Mark, reading: Reading) -> None:
    skip = False
    for word in words:
        if skip or word.startswith("-"):
            skip = word in _APT_VALUES
            continue
        package(word, mark, reading)


def package(word: str, mark: Mark, reading: Reading) -> None:
    """One Debian package, as apt takes it; a version is left out, because another release has others."""
    name = re.split(r"[=/]", word, maxsplit=1)[0]
    name = name.removesuffix(":amd64")
    if python := re.fullmatch(r"python(3\.[0-9]+)(-[a-z]+)*", name):
        reading.take(Kind.PYTHON, f"=={python[1]}.*", mark, firm=False)
    elif re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name):
        reading.take(Kind.APT, name, mark)
    else:
        why = "a variable, a pattern or a file, not a package's name"
        reading.leave(_short(word), why, mark, remedy="add the package to 'apt'")


def _pip(words: Sequence[str], mark: Mark, reading: Reading) -> None:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            _requirement(word, mark, reading)
            continue
        if name in _PIP_OPTIONS:
            value = value if sign else (rest.pop(0) if rest else "")
            _option(name, value, mark, reading)
        elif re.match(r"-[rceif][^-]", word):
            _option(word[:2], word[2:], mark, reading)
        elif name in _PIP_VALUES and not sign and rest:
            rest.pop(0)


def _option(name: str, value: str, mark: Mark, reading: Reading) -> None:
    if name in {"-r", "--requirement", "-c", "--constraint"}:
        _file(value, mark, reading)
    elif name in {"-e", "--editable"}:
        _requirement(value if "://" in value or value.startswith((".", "/")) else f"./{value}", mark, reading)
    else:
        index.read(value, mark, reading)


def _file(name: str, mark: Mark, reading: Reading) -> None:
    """A requirements file that a command names: found by its path in the project, or by its name beside the caller."""
    for candidate in (name.lstrip("/"), Path(name).name):
        for folder in dict.fromkeys((reading.project.root, mark.path.parent)):
            place = reading.project.place(candidate, folder / "x")
            if candidate and place is not None and place.is_file():
                document = reading.project.document(place, reading.problems, asked=mark)
                if document is not None:
                    requirements.read(document, reading)
                return
    remedy = "name the file that has them: devenv init --from FILE"
    reading.leave(f"-r {_short(name)}", "the project has no such file", mark, remedy=remedy)


def _requirement(word: str, mark: Mark, reading: Reading) -> None:
    if "$" in word or "`" in word:
        reading.leave(_short(word), "a variable of the shell", mark, remedy="add the package to 'pip'")
    elif word in {"pip", "setuptools", "wheel", "uv"} or re.match(r"(pip|setuptools|wheel|uv)[=<>!~]", word):
        return  # the image's own tools
    elif word.startswith((".", "/")) and not word.endswith(".whl") and not re.match(r"\./?(\[|$)", word):
        remedy = "make a wheel of it and name its path in 'pip', or install it in a setup step"
        reading.leave(_short(word), "a folder is not a wheel", mark, remedy=remedy)
    else:
        requirements.one(word, mark, reading, guessed=True)


def _conda(words: Sequence[str], mark: Mark, reading: Reading) -> None:
    skip = False
    for word in words:
        if skip or word.startswith("-"):
            skip = word in {"-n", "--name", "-p", "--prefix", "-c", "--channel", "-f", "--file"}
            continue
        conda.package(word, mark, reading)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
