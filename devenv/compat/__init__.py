"""Which versions of vLLM, PyTorch, CUDA, Python, driver and GPU work together: data, and its verdict on a preset."""
