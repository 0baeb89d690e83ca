"""Plan to text: Dockerfile, devcontainer.json, compose file, bill of materials."""
