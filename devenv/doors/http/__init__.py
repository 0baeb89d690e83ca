"""The only door to the network for files."""
