"""End to end: shares the integration tests' command line and environments."""

from tests.integration.conftest import cli, up_python, up_rapidocr

__all__ = ["cli", "up_python", "up_rapidocr"]
