"""Side effects, one module each: processes, files, Docker Engine, network, terminal, settings, this machine."""
