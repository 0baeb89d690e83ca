"""The media types and annotations of what is shared."""

from __future__ import annotations

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
RECIPE = "application/vnd.devenv.recipe.v1.tar+zstd"
RECIPE_ARTIFACT = "application/vnd.devenv.recipe.v1"
RECIPES = "application/vnd.devenv.recipe."
"""How the types of all recipes begin, those of newer versions too."""
SBOM = "application/vnd.cyclonedx+json"

TITLE = "org.opencontainers.image.title"
IDENTITY = "dev.devenv.identity"
"""The identity of the image that preset and lock alone give: what a rebuild must arrive at."""
BUILD = "dev.devenv.build"
LOCK = "dev.devenv.lock"
RECIPE_DIGEST = "dev.devenv.recipe"
RECIPE_SIZE = "dev.devenv.recipe.size"
DELTA = "dev.devenv.delta"
"""The sha256 (hex) of a snapshot's layer, unpacked."""
SNAPSHOT = "dev.devenv.snapshot"
PLATFORM = "dev.devenv.platform"
DIFF_ID = "dev.devenv.diff-id"
