"""Variables, ports and sizes that several formats have: taken where a preset can hold them, else left out."""

from __future__ import annotations

import re

from devenv.adopt.facts import secret
from devenv.adopt.facts.facts import Kind, Reading
from devenv.preset.checks import ENV_PREFIX, RESERVED_ENV
from devenv.preset.model import ENV_NAME, ENV_VALUE
from devenv.preset.yaml.nodes import Mark

_OF_IMAGES = frozenset({
    "DEBIAN_FRONTEND", "LANG", "LC_ALL", "LANGUAGE", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
    "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_DEFAULT_TIMEOUT", "PIP_ROOT_USER_ACTION",
    "POETRY_VERSION", "POETRY_HOME", "POETRY_NO_INTERACTION", "POETRY_VIRTUALENVS_CREATE",
    "POETRY_VIRTUALENVS_IN_PROJECT", "POETRY_CACHE_DIR", "UV_LINK_MODE", "UV_COMPILE_BYTECODE",
    "UV_PROJECT_ENVIRONMENT", "UV_PYTHON_DOWNLOADS", "UV_SYSTEM_PYTHON", "VIRTUAL_ENV", "CONDA_DIR",
    "CONDA_DEFAULT_ENV", "SHELL", "PWD", "USER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
    "LD_LIBRARY_PATH", "TZ", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "PYTHONHASHSEED",
})  # fmt: skip
"""Variables about how an image is built or runs, which devenv decides itself."""


def environment(name: str, value: str, mark: Mark, reading: Reading) -> None:
    """A variable; one that may hold a secret never."""
    if name in _OF_IMAGES or name in RESERVED_ENV or name.startswith(ENV_PREFIX):
        return
    if secret.NAME.search(name) or secret.may_hold(f"{name}={value}"):
        if value:
            remedy = "set it when you start a command: devenv exec -- env NAME=VALUE COMMAND"
            reading.leave(f"variable {name[:80]}", "its value may be a secret", mark, remedy=remedy)
    elif "$" in value or "***" in value:
        remedy = "write its value under 'env' in devenv.yaml"
        reading.leave(f"variable {name[:80]}", "its value needs another variable", mark, remedy=remedy)
    elif re.fullmatch(ENV_NAME, name) and re.fullmatch(ENV_VALUE, value) and len(value) <= 4096:
        reading.take(Kind.ENV, value, mark, name=name)
    else:
        reading.leave(f"variable {name[:80]}", "not a name and a value on one line", mark, remedy="add it under 'env'")


def port(text: str, mark: Mark, reading: Reading) -> None:
    """A container port: `8000`, `8000/tcp`, `"9000:8000"`."""
    found = re.fullmatch(r"(?:[0-9.]*:)?(?:[0-9]{1,5}:)?(?P<port>[0-9]{1,5})(?:/tcp)?", text.strip())
    if found and 1 <= int(found["port"]) <= 65535:
        reading.take(Kind.PORT, str(int(found["port"])), mark)
    else:
        reading.leave(f"port {text[:40]}", "not one TCP port", mark, remedy="add it under 'ports' in devenv.yaml")


def size(text: str) -> str | None:
    """`8gb`, `8GiB`, `512MB` → `8g`, `512m`; None for another form."""
    found = re.fullmatch(r"(?i)([1-9][0-9]{0,5})\s*([mgt])i?b?", text.strip())
    if not found:
        return None
    number, unit = int(found[1]), found[2].lower()
    number, unit = (number * 1024, "g") if unit == "t" else (number, unit)
    return f"{number}{unit}" if number < 1_000_000 else None
