"""The whole line, from preset to a passed smoke test."""
