"""Everything fixed: the lock, how it is resolved, and how it drifts from its preset."""
