"""Tiny random models on disk, as `transformers` writes them; written with NumPy alone.

    config = write_tiny(tmp_path / "m", "qwen3", tied=True)
    checkpoint = open_checkpoint(tmp_path / "m")

Names and layouts are spelled out here once more, on purpose: a test that took them from `weights.names` would agree
with any mistake there. `transformers` itself loads what this writes (tests/parity/test_weights_transformers.py).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cutaway.config import ModelConfig, RopeScaling
from tests.support.tiny import SHAPES, random_parameters, tiny_config

SHORT = {"llama": "llama-gqa", "mistral": "mistral-window"}

Raw = tuple[str, tuple[int, ...], bytes]  # dtype, shape, bytes

LLAMA_LEAVES = {
    "ln1.w": "input_layernorm.weight",
    "ln2.w": "post_attention_layernorm.weight",
    "attn.W_Q": "self_attn.q_proj.weight",
    "attn.W_K": "self_attn.k_proj.weight",
    "attn.W_V": "self_attn.v_proj.weight",
    "attn.W_O": "self_attn.o_proj.weight",
    "attn.b_Q": "self_attn.q_proj.bias",
    "attn.b_K": "self_attn.k_proj.bias",
    "attn.b_V": "self_attn.v_proj.bias",
    "attn.q_norm.w": "self_attn.q_norm.weight",
    "attn.k_norm.w": "self_attn.k_norm.weight",
    "mlp.W_gate": "mlp.gate_proj.weight",
    "mlp.W_in": "mlp.up_proj.weight",
    "mlp.W_out": "mlp.down_proj.weight",
}
GPT2_LEAVES = {
    "ln1.w": "ln_1.weight",
    "ln1.b": "ln_1.bias",
    "ln2.w": "ln_2.weight",
    "ln2.b": "ln_2.bias",
    "attn.W_O": "attn.c_proj.weight",
    "attn.b_O": "attn.c_proj.bias",
    "mlp.W_in": "mlp.c_fc.weight",
    "mlp.b_in": "mlp.c_fc.bias",
    "mlp.W_out": "mlp.c_proj.weight",
    "mlp.b_out": "mlp.c_proj.bias",
}


def tiny_on_disk(architecture: str, **overrides: Any) -> ModelConfig:
    """The configuration that `write_tiny` writes: an architecture, or a name of `tiny.SHAPES`."""
    return tiny_config(SHORT.get(architecture, architecture), **{"n_layer": 2, **overrides})


def write_tiny(
    folder: Path,
    architecture: str,
    *,
    seed: int = 0,
    dtype: str = "F32",
    spelling: int = 5,
    shards: int = 1,
    bare: bool = False,
    **overrides: Any,
) -> ModelConfig:
    """A whole folder; returns its configuration. The weights are `tiny.random_parameters(config, seed)`.

    `spelling`: as transformers 4 or 5 writes config.json. `bare`: tensor names without "model."/"transformer.".
    """
    config = tiny_on_disk(architecture, **overrides)
    stored = stored_parameters(config, seed)
    write_folder(folder, config, stored, dtype=dtype, spelling=spelling, shards=shards, bare=bare)
    return config


def stored_parameters(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Canonical name -> stored array ([in, out])."""
    parameters = random_parameters(config, seed)
    return {name: parameters.array(name) for name in parameters.declared}


def write_folder(
    folder: Path,
    config: ModelConfig,
    stored: Mapping[str, np.ndarray],
    *,
    dtype: str = "F32",
    spelling: int = 5,
    shards: int = 1,
    bare: bool = False,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hf_config(config, spelling), indent=2))
    raw = {name: encode(array, dtype) for name, array in hf_tensors(config, stored, bare).items()}
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors_bytes(raw))
        return
    weight_map = {}
    names = list(raw)
    for i in range(shards):
        own = names[i::shards]
        file_name = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        (folder / file_name).write_bytes(safetensors_bytes({name: raw[name] for name in own}))
        weight_map.update(dict.fromkeys(own, file_name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def hf_tensors(config: ModelConfig, stored: Mapping[str, np.ndarray], bare: bool = False) -> dict[str, np.ndarray]:
    """Tensors under transformers' names, in its layouts."""
    gpt2 = config.architecture == "gpt2"
    root = "" if bare else "transformer." if gpt2 else "model."
    tensors = {root + ("wte.weight" if gpt2 else "embed_tokens.weight"): stored["W_E"]}
    if gpt2:
        tensors[root + "wpe.weight"] = stored["W_pos"]
    for i in range(config.n_layer):
        own = {name[len(f"blocks.{i}.") :]: each for name, each in stored.items() if name.startswith(f"blocks.{i}.")}
        block = f"{root}h.{i}." if gpt2 else f"{root}layers.{i}."
        if gpt2:
            for kind, word in (("W", "weight"), ("b", "bias")):
                fused = np.concatenate([own.pop(f"attn.{kind}_{part}") for part in "QKV"], axis=-1)
                tensors[f"{block}attn.c_attn.{word}"] = fused
        for leaf, array in own.items():
            turned = not gpt2 and leaf.split(".")[-1].startswith("W_")
            tensors[block + (GPT2_LEAVES if gpt2 else LLAMA_LEAVES)[leaf]] = array.T if turned else array
    tensors[root + ("ln_f.weight" if gpt2 else "norm.weight")] = stored["ln_final.w"]
    if gpt2:
        tensors[root + "ln_f.bias"] = stored["ln_final.b"]
    if not config.tied:
        tensors["lm_head.weight"] = stored["W_U"].T
    return tensors


def hf_config(config: ModelConfig, spelling: int = 5) -> dict[str, Any]:
    """What transformers 5 or 4 would write to config.json."""
    common: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel" if config.architecture == "gpt2" else "ForCausalLM"],
        "model_type": config.architecture,
        "vocab_size": config.n_vocab,
        "tie_word_embeddings": config.tied,
        "use_cache": True,
        "dtype" if spelling == 5 else "torch_dtype": "float32",
        "transformers_version": "5.0.0" if spelling == 5 else "4.57.0",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    if config.architecture == "gpt2":
        return common | {
            "n_embd": config.d_model,
            "n_layer": config.n_layer,
            "n_head": config.n_head,
            "n_positions": config.n_ctx,
            "n_inner": config.d_mlp,
            "activation_function": config.activation,
            "layer_norm_epsilon": config.norm_eps,
            "attn_pdrop": 0.1,
        }
    names = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
    values = common | {
        "architectures": [names[config.architecture] + "ForCausalLM"],
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "head_dim": config.d_head,
        "intermediate_size": config.d_mlp,
        "max_position_embeddings": config.n_ctx,
        "hidden_act": config.activation,
        "rms_norm_eps": config.norm_eps,
    }
    if config.architecture == "mistral":
        values["sliding_window"] = config.sliding_window
    scaling = _rope_scaling(config.rope_scaling)
    if spelling == 5:
        values["rope_parameters"] = {"rope_theta": config.rope_base, **(scaling or {"rope_type": "default"})}
    else:
        values["rope_theta"] = config.rope_base
        values["rope_scaling"] = scaling
    return values


def _rope_scaling(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    if scaling.kind == "linear":
        return {"rope_type": "linear", "factor": scaling.factor}
    assert scaling.kind == "llama3"
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.original_n_ctx,
    }


def encode(array: np.ndarray, dtype: str) -> Raw:
    """As F32, F16 or BF16 (rounded to nearest even), little-endian."""
    array = np.ascontiguousarray(array, np.float32)
    if dtype == "F32":
        return dtype, array.shape, array.astype("<f4").tobytes()
    if dtype == "F16":
        return dtype, array.shape, array.astype("<f2").tobytes()
    assert dtype == "BF16"
    bits = array.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return dtype, array.shape, rounded.astype("<u2").tobytes()


def safetensors_bytes(tensors: Mapping[str, Raw], padded: bool = True) -> bytes:
    """A safetensors file of any dtypes, written here and not by `framing`."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    if padded:
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


__all__ = ["SHAPES", "hf_config", "hf_tensors", "stored_parameters", "tiny_on_disk", "write_folder", "write_tiny"]
