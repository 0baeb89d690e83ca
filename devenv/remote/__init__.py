"""Environments on machines that SSH reaches: devenv brought there and run there, its ports and the project here."""
