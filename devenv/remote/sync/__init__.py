"""A project's folder on two machines: listed, compared with the last common state, and brought together."""
