"""Model weights: brought once, verified once, shared by all environments."""
