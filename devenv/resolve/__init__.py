"""Preset to lock: each section by its own resolver."""
