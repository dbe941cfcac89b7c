"""The parameters a model has, declared once: name, axes, and how a file's matrix becomes that shape.

Names and shapes are TransformerLens': `blocks.3.attn.W_Q` is [head, d_model, d_head] and y = x W. In memory every
matrix is kept two-dimensional as [in, out] ("stored"), so that a block is plain products; `public_view` gives
the shape above without a copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cutaway.config import ModelConfig


@dataclass(frozen=True)
class Parameter:
    """One declared parameter. `axes` and `shape` are public; `stored_shape` is what a product uses."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    stored_shape: tuple[int, ...]
    meaning: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def axis_sizes(config: ModelConfig) -> dict[str, int]:
    """The length of every axis that a parameter can have."""
    return {
        "vocab": config.n_vocab,
        "n_ctx": config.n_ctx,
        "d_model": config.d_model,
        "d_mlp": config.d_mlp,
        "d_head": config.d_head,
        "head": config.n_head,
        "kv_head": config.n_kv_head,
    }


def _block(config: ModelConfig) -> list[tuple[str, str, str]]:
    traits = config.traits
    layer = traits.norm == "layer"
    rows = [("ln1.w", "d_model", "the gain of the norm before attention")]
    if layer and config.bias:
        rows.append(("ln1.b", "d_model", "the offset of the norm before attention"))
    rows += [
        ("attn.W_Q", "head d_model d_head", "makes queries"),
        ("attn.W_K", "kv_head d_model d_head", "makes keys"),
        ("attn.W_V", "kv_head d_model d_head", "makes values"),
    ]
    if config.has_qkv_bias:
        rows += [
            ("attn.b_Q", "head d_head", "added to every query"),
            ("attn.b_K", "kv_head d_head", "added to every key"),
            ("attn.b_V", "kv_head d_head", "added to every value"),
        ]
    if traits.qk_norm:
        rows += [
            ("attn.q_norm.w", "d_head", "the gain of the norm on queries"),
            ("attn.k_norm.w", "d_head", "the gain of the norm on keys"),
        ]
    rows.append(("attn.W_O", "head d_head d_model", "brings each head's mix back to the residual stream"))
    if config.has_out_bias:
        rows.append(("attn.b_O", "d_model", "added to the attention's output"))
    rows.append(("ln2.w", "d_model", "the gain of the norm before the MLP"))
    if layer and config.bias:
        rows.append(("ln2.b", "d_model", "the offset of the norm before the MLP"))
    if traits.gated:
        rows.append(("mlp.W_gate", "d_model d_mlp", "makes the gate"))
    rows.append(("mlp.W_in", "d_model d_mlp", "widens to the neurons"))
    if config.has_out_bias:
        rows.append(("mlp.b_in", "d_mlp", "added to every neuron's input"))
    rows.append(("mlp.W_out", "d_mlp d_model", "brings the neurons back to the residual stream"))
    if config.has_out_bias:
        rows.append(("mlp.b_out", "d_model", "added to the MLP's output"))
    return rows


def declared_parameters(config: ModelConfig) -> dict[str, Parameter]:
    """Every parameter of a model of this shape, by name, in the order of the computation.

    A tied model has no `W_U` of its own here: the unembedding is `W_E`, transposed (and `Parameters` gives it by
    that name all the same).
    """
    sizes = axis_sizes(config)
    rows = [("W_E", "vocab d_model", "one row for each token of the vocabulary")]
    if not config.traits.rotary:
        rows.append(("W_pos", "n_ctx d_model", "one row for each position"))
    per_block = _block(config)
    for i in range(config.n_layer):
        rows += [(f"blocks.{i}.{name}", axes, meaning) for name, axes, meaning in per_block]
    rows.append(("ln_final.w", "d_model", "the gain of the last norm"))
    if config.traits.norm == "layer" and config.bias:
        rows.append(("ln_final.b", "d_model", "the offset of the last norm"))
    if not config.tied:
        rows.append(("W_U", "d_model vocab", "one column of logit weights for each token"))
    declared = {}
    for name, axes_text, meaning in rows:
        axes = tuple(axes_text.split())
        shape = tuple(sizes[axis] for axis in axes)
        declared[name] = Parameter(name, axes, shape, stored_shape(name, shape), meaning)
    return declared


def stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """[head, d_model, d_head] is kept as [d_model, head * d_head]; W_O as [head * d_head, d_model]."""
    kind = name.rsplit(".", 1)[-1]
    if kind in ("W_Q", "W_K", "W_V"):
        heads, d_model, d_head = shape
        return (d_model, heads * d_head)
    if kind == "W_O":
        heads, d_head, d_model = shape
        return (heads * d_head, d_model)
    if kind in ("b_Q", "b_K", "b_V"):
        return (math.prod(shape),)
    return shape


def public_view(parameter: Parameter, stored: Any) -> Any:
    """The stored array in its public shape; a view, never a copy."""
    kind = parameter.name.rsplit(".", 1)[-1]
    if kind in ("W_Q", "W_K", "W_V"):
        heads, d_model, d_head = parameter.shape
        return stored.reshape(d_model, heads, d_head).swapaxes(0, 1)
    return stored.reshape(parameter.shape)


def parameter_count(config: ModelConfig) -> int:
    """How many numbers a model of this shape has learned (a tied unembedding counts once)."""
    return sum(parameter.size for parameter in declared_parameters(config).values())
