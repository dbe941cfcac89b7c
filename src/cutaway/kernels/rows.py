"""What is done row by row or number by number, natively. The twins are the equations of the same names in `ops`."""

from __future__ import annotations

import numpy as np

from cutaway.kernels import native

ACTIVATIONS = {"gelu_new": 0, "gelu": 1, "silu": 2, "relu": 3}


def softmax(x: np.ndarray) -> np.ndarray:  # [..., n] -> [..., n]
    """Each row's sum is a chain over sixteen lanes: keys behind that are -inf change no bit of it."""
    y = np.empty(x.shape, np.float32)
    native.MODULE.softmax(np.ascontiguousarray(x), y)
    return y


def rms_scale(x: np.ndarray, eps: float) -> np.ndarray:  # [..., n] -> [..., 1]
    y = np.empty((*x.shape[:-1], 1), np.float32)
    native.MODULE.rms_scale(np.ascontiguousarray(x), eps, y)
    return y


def centre(x: np.ndarray) -> np.ndarray:  # [..., n] -> [..., n]
    y = np.empty(x.shape, np.float32)
    native.MODULE.centre(np.ascontiguousarray(x), y)
    return y


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    y = np.empty(x.shape, np.float32)
    native.MODULE.activate(ACTIVATIONS[activation], np.ascontiguousarray(x), y)
    return y


def apply_rope(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:  # [pos, head, d_head] -> the same
    y = np.empty(x.shape, np.float32)
    native.MODULE.rope(np.ascontiguousarray(x), cos, sin, y)
    return y
