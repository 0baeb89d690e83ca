"""What people see: messages, progress, and the stages of a long command."""
