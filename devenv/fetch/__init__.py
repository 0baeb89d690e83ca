"""Locked files, fetched to this machine once: their sources, the store, and the metadata in each file."""
