"""Build context and image: the files that a build needs, and the build itself, with no network."""
