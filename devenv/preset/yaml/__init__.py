"""YAML to values with positions: a strict subset, bounded, with errors in plain words."""
