"""The conversation of two devenv: messages, what they ask, and where things lie on a box."""
