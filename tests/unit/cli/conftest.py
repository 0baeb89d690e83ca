"""The commands about presets are tried on the same made-up presets as the presets themselves."""

from tests.unit.preset.conftest import project, shipped, write

__all__ = ["project", "shipped", "write"]
