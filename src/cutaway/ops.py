"""Pure array functions: softmax, norms, activations, RoPE, attention. Shapes stand on the line.

Each takes its namespace `xp` from the caller, who chose it once for the pass (`namespace_of`), so
that arrays of other libraries flow through the same equations. Everything stays float32: constants are Python
floats, never NumPy scalars, which would promote.

What is written here is the definition, and the NumPy twin of the native kernels: where those are built and the arrays
are NumPy's, sums go through them (`kernels.native.takes`), so that a row has the same bits alone and among others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cutaway.config import Activation, ModelConfig, RopeScaling
from cutaway.kernels import attention as attention_kernels
from cutaway.kernels import native, rows
from cutaway.kernels.products import Matrix, Table, product
from cutaway.tap import SILENT, Tap

Array = Any

# One block of rows in attention holds about this many scores (4 MB), whatever the length of the text.
SCORES_AT_ONCE = 1 << 20

QUADRATIC = ("attn.qk", "attn.qk_scaled", "attn.attn_scores", "attn.pattern")


def namespace_of(array: Array) -> Any:
    """The module of functions for this array's library: NumPy itself, whose names are the array API's, or another's
    by `array_api_compat`."""
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat  # 50 ms that NumPy's arrays need not pay

    return array_api_compat.array_namespace(array)


def linear(x: Array, W: Array, b: Array | None = None) -> Array:  # [pos, in] [in, out] [out] -> [pos, out]
    if isinstance(W, Matrix):
        return product(x, W, b)
    y = x @ W
    return y if b is None else y + b


# -- probability ------------------------------------------------------------------------------------------------


def softmax(x: Array, xp: Any = np) -> Array:  # [..., n] -> [..., n], each row sums to 1
    """Shares that sum to 1. The row's largest value is taken off first: the result is the same, and exp cannot
    overflow. A -inf becomes exactly 0."""
    if native.takes(x):
        return rows.softmax(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def log_softmax(x: Array, xp: Any = np) -> Array:  # [..., n] -> [..., n], nats
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


# -- norms ------------------------------------------------------------------------------------------------------


def rms_scale(x: Array, eps: float, xp: Any = np) -> Array:  # [..., n] -> [..., 1]
    """The root of the mean square (Zhang and Sennrich 2019); `eps` keeps it from zero."""
    if native.takes(x):
        return rows.rms_scale(x, eps)
    return xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + eps)


def rms_norm(x: Array, w: Array, eps: float, xp: Any = np) -> Array:  # [..., n] [n] -> [..., n]
    return x / rms_scale(x, eps, xp) * w


def centre(x: Array, xp: Any = np) -> Array:  # [..., n] -> [..., n], each row's mean is 0
    if native.takes(x):
        return rows.centre(x)
    return x - xp.mean(x, axis=-1, keepdims=True)


# -- activations ------------------------------------------------------------------------------------------------


def gelu_new(x: Array, xp: Any = np) -> Array:
    """GELU in its tanh form, as GPT-2 uses it (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1.0 + xp.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))


def gelu(x: Array, xp: Any = np) -> Array:
    """GELU by the error function, to 1.5e-7 (Abramowitz and Stegun 7.1.26): the array API has no erf."""
    z = xp.abs(x) * math.sqrt(0.5)
    t = 1.0 / (1.0 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = 0.5 * poly * xp.exp(-(z * z))  # the normal distribution beyond |x|
    return x * xp.where(x < 0, tail, 1.0 - tail)


def silu(x: Array, xp: Any = np) -> Array:
    """x · sigmoid(x), the "swish" of SwiGLU (Shazeer 2020). Below -87 exp would overflow; the result is 0 there."""
    return x / (1.0 + xp.exp(-xp.clip(x, min=-87.0)))


def relu(x: Array, xp: Any = np) -> Array:
    return xp.clip(x, min=0.0)


ACTIVATIONS = {"gelu_new": gelu_new, "gelu": gelu, "silu": silu, "relu": relu}


def activate(x: Array, activation: Activation, xp: Any = np) -> Array:
    if native.takes(x):
        return rows.activate(x, activation)
    return ACTIVATIONS[activation](x, xp)


# -- rotary positions -------------------------------------------------------------------------------------------


def rope_frequencies(config: ModelConfig) -> Array:  # -> [d_head / 2], radians per position
    """How far each pair turns from one position to the next (Su et al. 2021), scaled as the model asks."""
    half = np.arange(0, config.d_head, 2, dtype=np.float32) / np.float32(config.d_head)
    frequencies = (np.float32(1.0) / np.power(np.float32(config.rope_base), half)).astype(np.float32)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / np.float32(scaling.factor)
    if scaling.kind == "factors":
        return frequencies / np.asarray(scaling.factors, dtype=np.float32)
    return _llama3_frequencies(frequencies, scaling)


def _llama3_frequencies(frequencies: Array, scaling: RopeScaling) -> Array:
    """Slow pairs are slowed by `factor`, fast ones kept, those between blended (Llama 3.1's report, 2024)."""
    turns = np.float32(scaling.original_n_ctx) * frequencies / np.float32(2 * math.pi)  # in the original context
    blend = (turns - np.float32(scaling.low_freq_factor)) / np.float32(
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    blend = np.clip(blend, np.float32(0), np.float32(1))
    return (1 - blend) * frequencies / np.float32(scaling.factor) + blend * frequencies


def rope_angles(config: ModelConfig, positions: Array) -> tuple[Array, Array]:
    """cos and sin, each [pos, d_head / 2], of the angle by which each pair turns at each position."""
    angles = positions.astype(np.float32)[:, None] * rope_frequencies(config)
    return np.cos(angles), np.sin(angles)


def apply_rope(x: Array, cos: Array, sin: Array, xp: Any = np) -> Array:  # [pos, head, d_head] -> the same
    """Turns the pairs (j, j + d_head / 2): the half-split layout, whatever the file's was."""
    if native.takes(x, cos, sin):
        return rows.apply_rope(x, cos, sin)
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return xp.concat([first * cos - second * sin, second * cos + first * sin], axis=-1)


# -- attention --------------------------------------------------------------------------------------------------


def causal_mask(
    q_positions: Array, k_positions: Array, window: int | None, xp: Any = np
) -> Array:  # [q_pos] [k_pos] -> [q_pos, k_pos], true where the query may look
    behind = q_positions[:, None] - k_positions[None, :]
    return behind >= 0 if window is None else (behind >= 0) & (behind < window)


def attention(
    q: Array, k: Array, v: Array, *, window: int | None = None, tap: Tap = SILENT, xp: Any = np
) -> Array:  # [q_pos, head, d_head] [k_pos, kv_head, d_head] [k_pos, kv_head, d_head] -> [q_pos, head, d_head]
    """Scaled dot-product attention (Vaswani et al. 2017), causal; the queries are the last of the keys' positions.

    Where nobody asks for scores or patterns, it walks over rows of queries and never holds more than
    `SCORES_AT_ONCE` scores; where somebody does, it is the plain composition, with the same result.
    """
    n_q, n_head, _ = q.shape
    n_k = k.shape[0]
    start = n_k - n_q
    if any(tap.wants(site) for site in QUADRATIC):
        return _attend(q, k, v, start, 0, window, tap, xp)
    if native.takes(q, k, v):
        return attention_kernels.attention(q, k, v, window)
    chunk = max(1, SCORES_AT_ONCE // (n_head * n_k))
    if chunk >= n_q:
        return _attend(q, k, v, start, 0, window, SILENT, xp)
    chunks = []
    for top in range(0, n_q, chunk):
        bottom = min(top + chunk, n_q)
        last = start + bottom  # no row of this chunk sees a key from here on
        first = 0 if window is None else max(0, start + top - window + 1)
        chunks.append(_attend(q[top:bottom], k[first:last], v[first:last], start + top, first, window, SILENT, xp))
    return xp.concat(chunks, axis=0)


def _attend(
    q: Array, k: Array, v: Array, q_start: int, k_start: int, window: int | None, tap: Tap, xp: Any
) -> Array:  # [q_pos, head, d_head] [k_pos, kv_head, d_head] [k_pos, kv_head, d_head] -> [q_pos, head, d_head]
    n_q, n_k = q.shape[0], k.shape[0]
    scores = tap("attn.qk", query_key_products(q, k, xp))
    scores = tap("attn.qk_scaled", scores * (1.0 / math.sqrt(q.shape[-1])))
    if n_q > 1 or window is not None or tap.wants("attn.attn_scores"):  # a single row, the last, sees every key
        allowed = causal_mask(xp.arange(q_start, q_start + n_q), xp.arange(k_start, k_start + n_k), window, xp)
        scores = xp.where(allowed[None], scores, -math.inf)
    used = tap("attn.attn_scores", scores)
    shares = softmax(used, xp)
    pattern = tap("attn.pattern", shares)
    if native.takes(pattern, v):
        causal = used is scores and pattern is shares  # nobody gave a query a share of a key that it may not see
        return attention_kernels.mix(pattern, v, causal=causal, window=window)
    return weighted_values(pattern, v, xp)


def query_key_products(
    q: Array, k: Array, xp: Any = np
) -> Array:  # [q_pos, head, d_head] [k_pos, kv_head, d_head] -> [head, q_pos, k_pos]
    """Every query with every key; query heads that share a key head are one product."""
    if native.takes(q, k):
        return attention_kernels.scores(q, k)
    n_q, n_head, d_head = q.shape
    n_k, n_kv_head, _ = k.shape
    grouped = xp.reshape(xp.permute_dims(q, (1, 0, 2)), (n_kv_head, n_head // n_kv_head * n_q, d_head))
    return xp.reshape(grouped @ xp.permute_dims(k, (1, 2, 0)), (n_head, n_q, n_k))


def weighted_values(
    pattern: Array, v: Array, xp: Any = np
) -> Array:  # [head, q_pos, k_pos] [k_pos, kv_head, d_head] -> [q_pos, head, d_head]
    n_head, n_q, n_k = pattern.shape
    _, n_kv_head, d_head = v.shape
    grouped = xp.reshape(pattern, (n_kv_head, n_head // n_kv_head * n_q, n_k))
    mixed = grouped @ xp.permute_dims(v, (1, 0, 2))
    return xp.permute_dims(xp.reshape(mixed, (n_head, n_q, d_head)), (1, 0, 2))


def head_parts(
    z: Array, W_O: Array, xp: Any = np
) -> Array:  # [pos, head, d_head] [head, d_head, d_model] -> [pos, head, d_model]
    """What each head writes to the residual stream."""
    if native.takes(z, W_O):
        parts = [product(np.ascontiguousarray(z[:, i]), Table.of(W_O[i].T).T) for i in range(z.shape[1])]
        return np.stack(parts, axis=1)
    return xp.permute_dims(xp.permute_dims(z, (1, 0, 2)) @ W_O, (1, 0, 2))


def join_heads(
    z: Array, W_O: Array, b_O: Array | None, tap: Tap = SILENT, xp: Any = np
) -> Array:  # [pos, head, d_head] [head * d_head, d_model] [d_model] -> [pos, d_model]
    """The heads' mixes, side by side, through W_O. Whoever changes `attn.result` (each head's own part) gets the
    sum of the parts instead: the same thing, by the distributive law."""
    n_pos, n_head, d_head = z.shape
    if tap.wants("attn.result"):
        weights = W_O.float32() if isinstance(W_O, Matrix) else W_O
        parts = head_parts(z, xp.reshape(weights, (n_head, d_head, weights.shape[-1])), xp)
        result = tap("attn.result", parts)
        if result is not parts:
            joined = xp.sum(result, axis=1)
            return joined if b_O is None else joined + b_O
    return linear(xp.reshape(z, (n_pos, n_head * d_head)), W_O, b_O)
