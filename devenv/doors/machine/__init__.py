"""Facts about this machine that decide whether it can run an environment: engine, disk, memory, GPUs, network."""
