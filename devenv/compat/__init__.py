"""Which versions of vLLM, PyTorch, CUDA, Python, driver and GPU work together: data, and what it says of a preset."""
