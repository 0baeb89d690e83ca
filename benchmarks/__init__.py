"""Measurements of devenv against the plain way of doing the same: `python -m benchmarks` prints and records them."""
