"""Machine, preset and what its lock needs, to a verdict: findings, each with the command that helps. Pure."""
