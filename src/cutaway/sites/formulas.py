"""The formulas of the declared sites, as plain array expressions: the definition, not the fast path.

Each takes the model's configuration and the declared inputs in order (None for an optional parameter that the model
lacks). They work on whole arrays and on slices alike, with every axis kept, so that one element can be recomputed
from the very values it came from. `ops` holds what runs; the contract tests hold the two equal.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cutaway.config import ModelConfig

Array = Any


def same(c: ModelConfig, x: Array) -> Array:
    return x


def add(c: ModelConfig, x: Array, y: Array) -> Array:
    return x + y


def rms_scale(c: ModelConfig, x: Array) -> Array:  # [..., n] -> [..., 1]
    return np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + c.norm_eps)


def std_scale(c: ModelConfig, x: Array) -> Array:  # [..., n] -> [..., 1]
    return rms_scale(c, x - np.mean(x, axis=-1, keepdims=True))


def over_scale(c: ModelConfig, x: Array, scale: Array) -> Array:
    return x / scale


def centred_over_scale(c: ModelConfig, x: Array, scale: Array) -> Array:
    return (x - np.mean(x, axis=-1, keepdims=True)) / scale


def gain(c: ModelConfig, x: Array, w: Array, b: Array | None = None) -> Array:
    return x * w if b is None else x * w + b


def head_norm(c: ModelConfig, x: Array, w: Array) -> Array:  # [pos, head, d_head] [d_head]
    return x / rms_scale(c, x) * w


def project_heads(c: ModelConfig, x: Array, W: Array, b: Array | None = None) -> Array:
    y = np.einsum("pm,hmd->phd", x, W, optimize=True)  # [pos, head, d_head]
    return y if b is None else y + b


def project(c: ModelConfig, x: Array, W: Array, b: Array | None = None) -> Array:
    return x @ W if b is None else x @ W + b


def turn(c: ModelConfig, x: Array, cos: Array, sin: Array) -> Array:  # [pos, head, d_head] [pos, d_head/2] twice
    first, second = np.split(x, 2, axis=-1)
    cos, sin = cos[:, None], sin[:, None]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def products(
    c: ModelConfig, q: Array, k: Array
) -> Array:  # [q_pos, head, d] [k_pos, head, d] -> [head, q_pos, k_pos]
    return q.transpose(1, 0, 2) @ k.transpose(1, 2, 0)


def over_root(c: ModelConfig, qk: Array) -> Array:
    return qk * (1.0 / math.sqrt(c.d_head))


def masked(c: ModelConfig, scores: Array, allowed: Array) -> Array:  # [head, q_pos, k_pos] [q_pos, k_pos]
    return np.where(allowed[None], scores, -math.inf)


def softmax(c: ModelConfig, scores: Array) -> Array:
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def mix(
    c: ModelConfig, pattern: Array, v: Array
) -> Array:  # [head, q_pos, k_pos] [k_pos, head, d] -> [q_pos, head, d]
    return (pattern @ v.transpose(1, 0, 2)).transpose(1, 0, 2)


def head_parts(c: ModelConfig, z: Array, W_O: Array) -> Array:  # [pos, head, d] [head, d, d_model]
    return (z.transpose(1, 0, 2) @ W_O).transpose(1, 0, 2)  # [pos, head, d_model]


def sum_of_heads(c: ModelConfig, result: Array, b: Array | None = None) -> Array:  # [pos, head, d_model]
    total = np.sum(result, axis=1)
    return total if b is None else total + b


def activation(c: ModelConfig, x: Array) -> Array:
    if c.activation == "silu":
        return x / (1.0 + np.exp(-np.maximum(x, -87.0)))
    if c.activation == "relu":
        return np.maximum(x, 0.0)
    if c.activation == "gelu_new":
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    erf = np.vectorize(math.erf, otypes=[np.float32])
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def gated_activation(c: ModelConfig, gate: Array, up: Array) -> Array:
    return activation(c, gate) * up
