"""The store of weights over HTTP, in the Hugging Face hub's protocol."""
