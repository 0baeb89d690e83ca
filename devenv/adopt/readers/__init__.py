"""One reader for each format: a document of the project → facts."""
