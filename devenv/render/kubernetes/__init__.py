"""Plan → objects of Kubernetes: pure values."""
