"""Environments for others: the canonical image, and the recipe that it is made from, in a registry or a file."""
