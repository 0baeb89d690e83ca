"""What a container has to pass before it counts as up: services ready, GPUs computing, smoke checks."""
