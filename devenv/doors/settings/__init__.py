"""This user's settings: devenv's own, and those of pip, uv, npm, apt and git."""
