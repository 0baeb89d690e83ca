"""The Docker Engine: where it is, how it is asked, what it answers, and how it fails."""
