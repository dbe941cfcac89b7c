"""A small GGUF writer, with the switches that a hostile file needs; and tiny random models as GGUF."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cutaway.config import ModelConfig
from tests.support.folders import encode, stored_parameters, tiny_on_disk

TYPES = dict(
    F32=0, F16=1, Q4_0=2, Q4_1=3, Q5_0=6, Q5_1=7, Q8_0=8, Q2_K=10, Q3_K=11, Q4_K=12, Q5_K=13, Q6_K=14, IQ4_NL=20,
    BF16=30,
)  # fmt: skip

Tensor = tuple[str | int, Sequence[int], bytes]  # type, shape as NumPy has it, bytes


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(given: Any) -> bytes:
    """Type and value. int -> u32, float -> f32, bool, str, list of one kind (ints as i32), or ready-made bytes."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, list):
        items = [(_kind(each), each) for each in given]
        kind = 5 if items and items[0][0] == 4 else items[0][0] if items else 5
        body = b"".join(struct.pack("<i", each) if kind == 5 else _plain(each) for _, each in items)
        return struct.pack("<IIQ", 9, kind, len(given)) + body
    return struct.pack("<I", _kind(given)) + _plain(given)


def _kind(given: Any) -> int:
    return 7 if isinstance(given, bool) else 4 if isinstance(given, int) else 6 if isinstance(given, float) else 8


def _plain(given: Any) -> bytes:
    if isinstance(given, bool):
        return struct.pack("<?", given)
    if isinstance(given, int):
        return struct.pack("<I", given)
    return struct.pack("<f", given) if isinstance(given, float) else string(given)


def gguf_bytes(
    metadata: Mapping[str, Any] | Sequence[tuple[str, Any]],
    tensors: Mapping[str, Tensor] | Sequence[tuple[str, Tensor]],
    *,
    version: int = 3,
    alignment: int = 32,
    n_tensors: int | None = None,
    n_keys: int | None = None,
    offsets: Mapping[str, int] | None = None,
) -> bytes:
    """A whole file. The counts and any tensor's offset can be made to lie."""
    keys = list(metadata.items()) if isinstance(metadata, Mapping) else list(metadata)
    each = list(tensors.items()) if isinstance(tensors, Mapping) else list(tensors)
    head = b"GGUF" + struct.pack("<IQQ", version, len(each) if n_tensors is None else n_tensors,
                                 len(keys) if n_keys is None else n_keys)  # fmt: skip
    for key, given in keys:
        head += string(key) + value(given)
    data = b""
    for name, (kind, shape, raw) in each:
        offset = (offsets or {}).get(name, len(data))
        number = TYPES[kind] if isinstance(kind, str) else kind
        head += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), number, offset)
        data += raw + bytes(-len(raw) % alignment)
    return head + bytes(-len(head) % alignment) + data


def interleave(rows: np.ndarray, n_head: int) -> np.ndarray:
    """[out, in] of Q or K, halves -> adjacent pairs, as llama.cpp's converter does for Llama; by plain loops."""
    d_head = len(rows) // n_head
    out = np.empty_like(rows)
    for head in range(n_head):
        for j in range(d_head // 2):
            out[head * d_head + 2 * j] = rows[head * d_head + j]
            out[head * d_head + 2 * j + 1] = rows[head * d_head + d_head // 2 + j]
    return out


LEAVES = {
    "ln1.w": "attn_norm.weight", "ln1.b": "attn_norm.bias", "ln2.w": "ffn_norm.weight", "ln2.b": "ffn_norm.bias",
    "attn.W_Q": "attn_q.weight", "attn.W_K": "attn_k.weight", "attn.W_V": "attn_v.weight",
    "attn.b_Q": "attn_q.bias", "attn.b_K": "attn_k.bias", "attn.b_V": "attn_v.bias",
    "attn.W_O": "attn_output.weight", "attn.b_O": "attn_output.bias",
    "attn.q_norm.w": "attn_q_norm.weight", "attn.k_norm.w": "attn_k_norm.weight",
    "mlp.W_gate": "ffn_gate.weight", "mlp.W_in": "ffn_up.weight", "mlp.b_in": "ffn_up.bias",
    "mlp.W_out": "ffn_down.weight", "mlp.b_out": "ffn_down.bias",
}  # fmt: skip


def gguf_tensors(config: ModelConfig, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors under GGUF's names, in its layouts: all [out, in], Llama's Q and K in pairs, GPT-2's QKV fused."""
    llama = config.architecture in ("llama", "mistral")
    whole = {"W_E": "token_embd.weight", "W_pos": "position_embd.weight", "W_U": "output.weight",
             "ln_final.w": "output_norm.weight", "ln_final.b": "output_norm.bias"}  # fmt: skip
    tensors: dict[str, np.ndarray] = {}
    for name, array in stored.items():
        if name in whole:
            tensors[whole[name]] = array.T if name == "W_U" else array
            continue
        _, i, leaf = name.split(".", 2)
        rows = array.T if ".W_" in name else array
        if llama and leaf[-3:] in ("W_Q", "W_K"):
            rows = interleave(rows, config.n_head if leaf.endswith("Q") else config.n_kv_head)
        tensors[f"blk.{i}.{LEAVES[leaf]}"] = rows
    if config.architecture == "gpt2":
        for i in range(config.n_layer):
            for word in ("weight", "bias"):
                parts = [tensors.pop(f"blk.{i}.attn_{part}.{word}") for part in "qkv"]
                tensors[f"blk.{i}.attn_qkv.{word}"] = np.concatenate(parts)
    return tensors


def gguf_metadata(config: ModelConfig) -> dict[str, Any]:
    kind = "llama" if config.architecture == "mistral" else config.architecture
    rms = kind != "gpt2"
    values: dict[str, Any] = {
        "block_count": config.n_layer,
        "context_length": config.n_ctx,
        "embedding_length": config.d_model,
        "feed_forward_length": config.d_mlp,
        "attention.head_count": config.n_head,
        "attention.layer_norm_rms_epsilon" if rms else "attention.layer_norm_epsilon": config.norm_eps,
    }
    if rms:
        values |= {
            "attention.head_count_kv": config.n_kv_head,
            "attention.key_length": config.d_head,
            "attention.value_length": config.d_head,
            "rope.freq_base": config.rope_base,
        }
    if config.sliding_window is not None:
        values["attention.sliding_window"] = config.sliding_window
    general = {"general.architecture": kind, "general.name": config.name}
    return general | {f"{kind}.{key}": given for key, given in values.items()}


def write_tiny_gguf(
    path: Path, architecture: str, *, dtype: str = "F32", seed: int = 0, **overrides: Any
) -> ModelConfig:
    """A tiny model as a `.gguf`, matrices as F32, F16 or BF16, vectors as F32; the weights of `write_tiny`."""
    config = tiny_on_disk(architecture, **overrides)
    tensors: dict[str, Tensor] = {}
    for name, array in gguf_tensors(config, stored_parameters(config, seed)).items():
        tensors[name] = encode(array, dtype if array.ndim == 2 else "F32")
    path.write_bytes(gguf_bytes(gguf_metadata(config), tensors))
    return config
