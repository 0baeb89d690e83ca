"""Environments in a cluster: brought up, watched, forwarded, removed."""
