"""Qwen2 and Qwen2.5: "Qwen2 Technical Report", Yang et al. 2024.

Llama's plan, with biases on queries, keys and values (and on nothing else). Embedding, norm, MLP and unembedding
are Llama's.
"""

from __future__ import annotations

from typing import Any

from cutaway.config import ModelConfig
from cutaway.models.llama import embed, mlp, norm, unembed
from cutaway.models.run import Memory, Run
from cutaway.ops import apply_rope, join_heads, linear
from cutaway.tap import Tap

Array = Any

__all__ = ["block", "embed", "unembed"]


def block(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    """[pos, d_model] -> [pos, d_model]"""
    normed = norm(config, w.ln1, x, run, tap.within("ln1."))
    mid = tap("resid_mid", x + tap("attn_out", self_attention(config, w.attn, normed, run, tap, memory)))
    normed = norm(config, w.ln2, mid, run, tap.within("ln2."))
    return tap("resid_post", mid + tap("mlp_out", mlp(config, w.mlp, normed, run, tap)))


def self_attention(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    xp, d_head = run.xp, config.d_head
    q = tap("attn.q", xp.reshape(linear(x, w.W_Q, w.b_Q), (-1, config.n_head, d_head)))
    k = tap("attn.k", xp.reshape(linear(x, w.W_K, w.b_K), (-1, config.n_kv_head, d_head)))
    v = tap("attn.v", xp.reshape(linear(x, w.W_V, w.b_V), (-1, config.n_kv_head, d_head)))
    q = tap("attn.rot_q", apply_rope(q, run.cos, run.sin, xp))
    k = tap("attn.rot_k", apply_rope(k, run.cos, run.sin, xp))
    z = tap("attn.z", run.attend(q, k, v, memory, tap))  # [pos, head, d_head]
    return join_heads(z, w.W_O, None, tap, xp)
