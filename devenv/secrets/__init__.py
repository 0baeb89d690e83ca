"""Nothing secret leaves: what of an environment's files and of an image's configuration must stay on this machine."""
