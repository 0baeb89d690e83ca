"""Locked files brought to this machine once: where each can be had, the store, and what each says of itself."""
