"""A model on a hub, judged by its metadata, and the environment that serves it."""
