"""Causal attention over keys and values where they lie, natively. Twins: `ops.attention` and the lines of `_attend`.

`attention` never holds more than a few rows of scores; `scores` and `mix` are its first and last step for whoever
wants to see or change what lies between: with `softmax` they give the same bits.
"""

from __future__ import annotations

import numpy as np

from cutaway.kernels import native


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, window: int | None) -> np.ndarray:
    """[q_pos, head, d_head] [k_pos, kv_head, d_head] twice -> [q_pos, head, d_head]; queries come last."""
    z = np.empty(q.shape, np.float32)
    native.MODULE.attention(np.ascontiguousarray(q), np.ascontiguousarray(k), np.ascontiguousarray(v), window or 0, z)
    return z


def scores(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Plain products, [q_pos, head, d_head] [k_pos, kv_head, d_head] -> [head, q_pos, k_pos]."""
    qk = np.empty((q.shape[1], q.shape[0], k.shape[0]), np.float32)
    native.MODULE.scores(np.ascontiguousarray(q), np.ascontiguousarray(k), qk)
    return qk


def mix(pattern: np.ndarray, v: np.ndarray, *, causal: bool, window: int | None = None) -> np.ndarray:
    """[head, q_pos, k_pos] [k_pos, kv_head, d_head] -> [q_pos, head, d_head]. `causal`: keys that a query may not
    see have no share, and are not looked at."""
    z = np.empty((pattern.shape[1], pattern.shape[0], v.shape[2]), np.float32)
    native.MODULE.mix(np.ascontiguousarray(pattern), np.ascontiguousarray(v), causal, window or 0, z)
    return z
