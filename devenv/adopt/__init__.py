"""Projects that exist already: their files read as facts, and a devenv.yaml made of them. Nothing is executed."""
