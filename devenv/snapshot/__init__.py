"""An environment's state, kept: its preset, its lock, and one layer for what these cannot say."""
