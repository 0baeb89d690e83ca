"""Facts about this machine that say whether it can run an environment: engine, disk, memory, GPUs, network."""
