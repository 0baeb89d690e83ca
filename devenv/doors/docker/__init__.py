"""The Docker Engine: its address, requests to it, its answers and its failures."""
