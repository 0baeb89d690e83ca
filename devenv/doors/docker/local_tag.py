"""Tags of images that only an engine has, written so that no program contacts a registry for them.

A name without a registry is Docker Hub's: BuildKit asks there, or at a mirror, for what it does not find here, with the
containerd image store even before it looks. So these names have a registry that cannot be: nothing listens on port 0,
and for a loopback address no mirror and no proxy is asked.
"""

from __future__ import annotations

LOCAL = "127.0.0.1:0/"
"""How every such tag begins."""
BASE_TAG = f"{LOCAL}devenv-base:"
"""How the tags begin that a build gives to base images."""
EDITOR_TAG = f"{LOCAL}devenv/editor:"
"""How the tags of finished editors begin."""
VERIFY_TAG = f"{LOCAL}devenv/verify:"
"""How the tags begin that images have while they are compared."""
BELOW_TAG = f"{LOCAL}devenv/below:"
"""How the tags begin that images have while a snapshot's layer is laid over them."""
