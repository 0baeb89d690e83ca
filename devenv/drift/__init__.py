"""What a container holds that its lock did not put there, and the preset that would."""
