"""Llama: "LLaMA: Open and Efficient Foundation Language Models", Touvron et al. 2023, and what follows its plan.

Llama 2 and 3, SmolLM2, TinyLlama. Against GPT-2: RMSNorm instead of LayerNorm (Zhang and Sennrich 2019); positions
by turning queries and keys (RoPE, Su et al. 2021), nothing added to the embedding; groups of query heads share
one key/value head (Ainslie et al. 2023); a gated MLP (SwiGLU, Shazeer 2020); no biases.
"""

from __future__ import annotations

from typing import Any

from cutaway.config import ModelConfig
from cutaway.models.run import Memory, Run
from cutaway.ops import activate, apply_rope, join_heads, linear, rms_scale
from cutaway.parameters import Parameters
from cutaway.tap import Tap

Array = Any


def embed(config: ModelConfig, w: Parameters, ids: Array, run: Run, tap: Tap) -> Array:  # [pos] -> [pos, d_model]
    return tap("embed", w.stored("W_E")[ids])


def block(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    """[pos, d_model] -> [pos, d_model]"""
    normed = norm(config, w.ln1, x, run, tap.within("ln1."))
    mid = tap("resid_mid", x + tap("attn_out", self_attention(config, w.attn, normed, run, tap, memory)))
    normed = norm(config, w.ln2, mid, run, tap.within("ln2."))
    return tap("resid_post", mid + tap("mlp_out", mlp(config, w.mlp, normed, run, tap)))


def norm(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap) -> Array:  # RMSNorm: no mean is taken off
    scale = tap("scale", rms_scale(x, config.norm_eps, run.xp))  # [pos, 1]
    normalized = tap("normalized", x / scale)
    return tap("out", normalized * w.w)


def self_attention(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    xp, d_head = run.xp, config.d_head
    q = tap("attn.q", xp.reshape(linear(x, w.W_Q), (-1, config.n_head, d_head)))
    k = tap("attn.k", xp.reshape(linear(x, w.W_K), (-1, config.n_kv_head, d_head)))
    v = tap("attn.v", xp.reshape(linear(x, w.W_V), (-1, config.n_kv_head, d_head)))
    q = tap("attn.rot_q", apply_rope(q, run.cos, run.sin, xp))
    k = tap("attn.rot_k", apply_rope(k, run.cos, run.sin, xp))
    z = tap("attn.z", run.attend(q, k, v, memory, tap))  # [pos, head, d_head]
    return join_heads(z, w.W_O, None, tap, xp)


def mlp(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap) -> Array:
    gate = tap("mlp.pre", linear(x, w.W_gate))  # [pos, d_mlp]
    up = tap("mlp.pre_linear", linear(x, w.W_in))
    post = tap("mlp.post", activate(gate, config.activation, run.xp) * up)
    return linear(post, w.W_out)


def unembed(config: ModelConfig, w: Parameters, x: Array, run: Run, tap: Tap) -> Array:
    """[pos, d_model] -> [pos, vocab]"""
    x = norm(config, w.namespace("ln_final"), x, run, tap.within("ln_final."))
    return tap("logits", x @ w.stored("W_U"))
