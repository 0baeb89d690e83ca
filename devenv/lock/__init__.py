"""The lock as values: its shape and text, where it lies, how it drifts and what contradicts itself."""
