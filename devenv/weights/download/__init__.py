"""Models fetched to the store: in pieces, over several connections, hashed behind the writing."""
