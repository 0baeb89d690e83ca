"""Presets: loaded from YAML with positions, composed with `extends`, validated."""
