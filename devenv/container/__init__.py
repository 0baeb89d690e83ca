"""An environment as a container: its specification, labels, state on this host, owner, GPUs and network."""
