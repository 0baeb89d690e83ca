"""The lock as values: its shape, text and path, its drift, and its contradictions."""
