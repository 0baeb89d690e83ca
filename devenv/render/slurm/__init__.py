"""Plan → a batch script for Slurm."""
