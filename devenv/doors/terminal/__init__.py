"""The terminal output: messages, progress, and the stages of a long command."""
