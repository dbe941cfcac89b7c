"""Files of weights: safetensors and GGUF, opened in milliseconds, read parameter by parameter."""
