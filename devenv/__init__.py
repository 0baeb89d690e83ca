"""devenv: reproducible AI development environments."""

__version__ = "0.1.0"
