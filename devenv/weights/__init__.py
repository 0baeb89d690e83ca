"""Model weights: fetched once, verified once, shared by all environments."""
