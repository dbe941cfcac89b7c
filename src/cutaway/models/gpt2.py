"""GPT-2: "Language Models are Unsupervised Multitask Learners", Radford et al. 2019.

Positions are a learned table, added once. Every block: x + attention(LayerNorm(x)), then x + MLP(LayerNorm(x)).
LayerNorm before each part and once at the end ("pre-norm"); biases everywhere; GELU in its tanh form. The file's
fused c_attn is three matrices here. nanoGPT's variant without biases is the same with each b absent.
"""

from __future__ import annotations

from typing import Any

from cutaway.config import ModelConfig
from cutaway.models.run import Memory, Run
from cutaway.ops import activate, centre, join_heads, linear, rms_scale
from cutaway.parameters import Parameters
from cutaway.tap import Tap

Array = Any


def embed(config: ModelConfig, w: Parameters, ids: Array, run: Run, tap: Tap) -> Array:  # [pos] -> [pos, d_model]
    token = tap("embed", w.stored("W_E")[ids])
    position = tap("pos_embed", w.stored("W_pos")[run.positions])
    return token + position


def block(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    """[pos, d_model] -> [pos, d_model]"""
    normed = layer_norm(config, w.ln1, x, run, tap.within("ln1."))
    mid = tap("resid_mid", x + tap("attn_out", self_attention(config, w.attn, normed, run, tap, memory)))
    normed = layer_norm(config, w.ln2, mid, run, tap.within("ln2."))
    return tap("resid_post", mid + tap("mlp_out", mlp(config, w.mlp, normed, run, tap)))


def layer_norm(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap) -> Array:  # Ba et al. 2016
    centred = centre(x, run.xp)
    scale = tap("scale", rms_scale(centred, config.norm_eps, run.xp))  # [pos, 1], the standard deviation
    normalized = tap("normalized", centred / scale)
    out = normalized * w.w
    return tap("out", out if w.b is None else out + w.b)


def self_attention(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None) -> Array:
    xp, heads = run.xp, (-1, config.n_head, config.d_head)
    q = tap("attn.q", xp.reshape(linear(x, w.W_Q, w.b_Q), heads))
    k = tap("attn.k", xp.reshape(linear(x, w.W_K, w.b_K), heads))
    v = tap("attn.v", xp.reshape(linear(x, w.W_V, w.b_V), heads))
    z = tap("attn.z", run.attend(q, k, v, memory, tap))  # [pos, head, d_head]
    return join_heads(z, w.W_O, w.b_O, tap, xp)


def mlp(config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap) -> Array:
    pre = tap("mlp.pre", linear(x, w.W_in, w.b_in))  # [pos, d_mlp]
    post = tap("mlp.post", activate(pre, config.activation, run.xp))
    return linear(post, w.W_out, w.b_out)


def unembed(config: ModelConfig, w: Parameters, x: Array, run: Run, tap: Tap) -> Array:
    """[pos, d_model] -> [pos, vocab]"""
    norm = w.namespace("ln_final")
    x = layer_norm(config, norm, x, run, tap.within("ln_final."))
    return tap("logits", x @ w.stored("W_U"))
