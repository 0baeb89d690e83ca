"""The proof that an image is what its preset and lock give."""
