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
REFERRERS, REFERRERS_SIZE = "dev.devenv.referrers", "dev.devenv.referrers.size"
"""On a layout's index: the index of what is attached to its image. Other readers find one image in the layout."""
SOURCES = "application/vnd.devenv.sources.v1"
"""The lock's files, as an artifact attached to the image or the recipe."""
FILE = "application/octet-stream"

# CNCF ModelPack (model-spec: spec.md, config.md, annotations.md): a model as an artifact, attached in the same way.
MODEL = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
MODEL_WEIGHTS = "application/vnd.cncf.model.weight.v1.raw"
MODEL_SETTINGS = "application/vnd.cncf.model.weight.config.v1.raw"
MODEL_TEXTS = "application/vnd.cncf.model.doc.v1.raw"
MODEL_CODE = "application/vnd.cncf.model.code.v1.raw"
MODEL_PATH = "org.cncf.model.filepath"
MODEL_GUESSED = "org.cncf.model.file.mediatype.untested"

LARGE = frozenset({LAYER, FILE, MODEL_WEIGHTS, MODEL_SETTINGS, MODEL_TEXTS, MODEL_CODE})
"""What a receiver may have already; documents always go along."""
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
