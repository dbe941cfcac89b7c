"""The same weights in `transformers`, the reference for every number. Needs the `yardsticks` extra."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers

from cutaway.config import ModelConfig
from cutaway.parameters import Parameters


def _rope(config: ModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    rope: dict[str, Any] = {"rope_theta": config.rope_base, "rope_type": "default"}
    if scaling is not None:
        rope |= {
            "rope_type": scaling.kind,
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_n_ctx,
        }
    return rope


def twin(config: ModelConfig, w: Parameters) -> Any:
    """A `transformers` model of this shape with these weights, in float32, with eager attention."""
    model = _gpt2(config, w) if config.architecture == "gpt2" else _llama_like(config, w)
    return model.eval()


def _load(model: Any, state: dict[str, np.ndarray]) -> Any:
    tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    allowed = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    zero_biases = {name for name in missing if name.endswith(".bias")}
    for name in zero_biases:
        model.get_parameter(name).data.zero_()
    assert not unexpected and set(missing) <= allowed | zero_biases, (missing, unexpected)
    model.tie_weights()
    return model


def _gpt2(c: ModelConfig, w: Parameters) -> Any:
    reference = transformers.GPT2Config(
        vocab_size=c.n_vocab,
        n_positions=c.n_ctx,
        n_embd=c.d_model,
        n_layer=c.n_layer,
        n_head=c.n_head,
        n_inner=c.d_mlp,
        activation_function=c.activation,
        layer_norm_epsilon=c.norm_eps,
        tie_word_embeddings=c.tied,
        attn_implementation="eager",
        bos_token_id=0,
        eos_token_id=0,
    )
    state = {"transformer.wte.weight": w.array("W_E"), "transformer.wpe.weight": w.array("W_pos")}
    for i in range(c.n_layer):
        here, there = _block(w, i), f"transformer.h.{i}."
        state[there + "ln_1.weight"], state[there + "ln_2.weight"] = here.ln1.w, here.ln2.w
        state[there + "attn.c_attn.weight"] = np.concatenate([here.attn.W_Q, here.attn.W_K, here.attn.W_V], axis=1)
        state[there + "attn.c_proj.weight"] = here.attn.W_O
        state[there + "mlp.c_fc.weight"], state[there + "mlp.c_proj.weight"] = here.mlp.W_in, here.mlp.W_out
        if c.bias:
            state[there + "ln_1.bias"], state[there + "ln_2.bias"] = here.ln1.b, here.ln2.b
            state[there + "attn.c_attn.bias"] = np.concatenate([here.attn.b_Q, here.attn.b_K, here.attn.b_V])
            state[there + "attn.c_proj.bias"] = here.attn.b_O
            state[there + "mlp.c_fc.bias"], state[there + "mlp.c_proj.bias"] = here.mlp.b_in, here.mlp.b_out
    final = w.namespace("ln_final")
    state["transformer.ln_f.weight"] = final.w
    if c.bias:
        state["transformer.ln_f.bias"] = final.b
    if not c.tied:
        state["lm_head.weight"] = w.array("W_U").T
    return _load(transformers.GPT2LMHeadModel(reference), state)


KINDS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}


def _block(w: Parameters, i: int) -> Any:
    """`w.block(i)` with every matrix as a float32 array."""
    parts = {
        part: SimpleNamespace(b=None, b_Q=None, b_K=None, b_V=None, b_O=None)
        for part in ("ln1", "attn", "ln2", "mlp")
    }
    for name in w.declared:
        if name.startswith(f"blocks.{i}."):
            part, leaf = name.split(".", 2)[2].split(".", 1)
            setattr(parts[part], leaf.replace(".", "_"), w.array(name))
    return SimpleNamespace(**parts)


def _llama_like(c: ModelConfig, w: Parameters) -> Any:
    make_config, make_model = KINDS[c.architecture]
    extra = {"sliding_window": c.sliding_window} if c.architecture == "mistral" else {}
    reference = make_config(
        vocab_size=c.n_vocab,
        hidden_size=c.d_model,
        intermediate_size=c.d_mlp,
        num_hidden_layers=c.n_layer,
        num_attention_heads=c.n_head,
        num_key_value_heads=c.n_kv_head,
        head_dim=c.d_head,
        hidden_act=c.activation,
        max_position_embeddings=c.n_ctx,
        rms_norm_eps=c.norm_eps,
        tie_word_embeddings=c.tied,
        rope_parameters=_rope(c),
        attn_implementation="eager",
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        **extra,
    )
    state = {"model.embed_tokens.weight": w.array("W_E"), "model.norm.weight": w.array("ln_final.w")}
    for i in range(c.n_layer):
        here, there = _block(w, i), f"model.layers.{i}."
        state[there + "input_layernorm.weight"] = here.ln1.w
        state[there + "post_attention_layernorm.weight"] = here.ln2.w
        for ours, theirs in (("Q", "q"), ("K", "k"), ("V", "v"), ("O", "o")):
            state[there + f"self_attn.{theirs}_proj.weight"] = getattr(here.attn, f"W_{ours}").T
            bias = getattr(here.attn, f"b_{ours}")
            if bias is not None:
                state[there + f"self_attn.{theirs}_proj.bias"] = bias
        if c.traits.qk_norm:
            state[there + "self_attn.q_norm.weight"] = here.attn.q_norm_w
            state[there + "self_attn.k_norm.weight"] = here.attn.k_norm_w
        state[there + "mlp.gate_proj.weight"] = here.mlp.W_gate.T
        state[there + "mlp.up_proj.weight"] = here.mlp.W_in.T
        state[there + "mlp.down_proj.weight"] = here.mlp.W_out.T
    if not c.tied:
        state["lm_head.weight"] = w.array("W_U").T
    return _load(make_model(reference), state)


def reference_sites(config: ModelConfig, model: Any, ids: list[int]) -> dict[str, np.ndarray]:
    """What `transformers` computes, by our site names: the residual stream before each block, patterns, what leaves
    the last norm, and logits."""
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True, output_attentions=True, use_cache=False)
    found = {}
    for i in range(config.n_layer):
        found[f"blocks.{i}.resid_pre"] = out.hidden_states[i][0].numpy()
        found[f"blocks.{i}.attn.pattern"] = out.attentions[i][0].numpy()
    found["ln_final.out"] = out.hidden_states[-1][0].numpy()  # transformers gives the last one normed
    found["logits"] = out.logits[0].numpy()
    return found
