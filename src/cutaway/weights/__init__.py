"""Files of weights: safetensors and GGUF, opened in milliseconds, read parameter by parameter."""

from cutaway.weights.folder import open_checkpoint

__all__ = ["open_checkpoint"]
