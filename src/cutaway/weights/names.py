"""Canonical names <- the names in foreign files: one table.

A file's matrix is [out, in] (y = x Wᵀ), except GPT-2's in the `transformers` layout, which are [in, out]; and GPT-2
keeps queries, keys and values in one tensor, of which a canonical name takes its part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from cutaway.config import ModelConfig

Kind = Literal["hf", "gguf"]


@dataclass(frozen=True)
class Place:
    """Where a parameter lies: the file's tensor; which third of a fused one; whether the matrix is [in, out]."""

    tensor: str
    part: int | None = None
    in_out: bool = False


def _fused(tensor: str, part: int, in_out: bool = False) -> Place:
    return Place(tensor, part, in_out)


def _conv(tensor: str, part: int | None = None) -> Place:
    return Place(tensor, part, in_out=True)


# canonical -> (in transformers' folders: Llama's family, GPT-2), (in GGUF)
# fmt: off
NAMES: Mapping[str, tuple[tuple[Place, ...], tuple[Place, ...]]] = {
    "W_E": ((Place("embed_tokens.weight"), Place("wte.weight")), (Place("token_embd.weight"),)),
    "W_pos": ((Place("wpe.weight"),), (Place("position_embd.weight"),)),
    "ln_final.w": ((Place("norm.weight"), Place("ln_f.weight")), (Place("output_norm.weight"),)),
    "ln_final.b": ((Place("ln_f.bias"),), (Place("output_norm.bias"),)),
    "W_U": ((Place("lm_head.weight"),), (Place("output.weight"),)),
    "ln1.w": ((Place("input_layernorm.weight"), Place("ln_1.weight")), (Place("attn_norm.weight"),)),
    "ln1.b": ((Place("ln_1.bias"),), (Place("attn_norm.bias"),)),
    "ln2.w": ((Place("post_attention_layernorm.weight"), Place("ln_2.weight")), (Place("ffn_norm.weight"),)),
    "ln2.b": ((Place("ln_2.bias"),), (Place("ffn_norm.bias"),)),
    "attn.W_Q": ((Place("self_attn.q_proj.weight"), _conv("attn.c_attn.weight", 0)),
                 (Place("attn_q.weight"), _fused("attn_qkv.weight", 0))),
    "attn.W_K": ((Place("self_attn.k_proj.weight"), _conv("attn.c_attn.weight", 1)),
                 (Place("attn_k.weight"), _fused("attn_qkv.weight", 1))),
    "attn.W_V": ((Place("self_attn.v_proj.weight"), _conv("attn.c_attn.weight", 2)),
                 (Place("attn_v.weight"), _fused("attn_qkv.weight", 2))),
    "attn.b_Q": ((Place("self_attn.q_proj.bias"), _fused("attn.c_attn.bias", 0)),
                 (Place("attn_q.bias"), _fused("attn_qkv.bias", 0))),
    "attn.b_K": ((Place("self_attn.k_proj.bias"), _fused("attn.c_attn.bias", 1)),
                 (Place("attn_k.bias"), _fused("attn_qkv.bias", 1))),
    "attn.b_V": ((Place("self_attn.v_proj.bias"), _fused("attn.c_attn.bias", 2)),
                 (Place("attn_v.bias"), _fused("attn_qkv.bias", 2))),
    "attn.W_O": ((Place("self_attn.o_proj.weight"), _conv("attn.c_proj.weight")), (Place("attn_output.weight"),)),
    "attn.b_O": ((Place("attn.c_proj.bias"),), (Place("attn_output.bias"),)),
    "attn.q_norm.w": ((Place("self_attn.q_norm.weight"),), (Place("attn_q_norm.weight"),)),
    "attn.k_norm.w": ((Place("self_attn.k_norm.weight"),), (Place("attn_k_norm.weight"),)),
    "mlp.W_gate": ((Place("mlp.gate_proj.weight"),), (Place("ffn_gate.weight"),)),
    "mlp.W_in": ((Place("mlp.up_proj.weight"), _conv("mlp.c_fc.weight")), (Place("ffn_up.weight"),)),
    "mlp.b_in": ((Place("mlp.c_fc.bias"),), (Place("ffn_up.bias"),)),
    "mlp.W_out": ((Place("mlp.down_proj.weight"), _conv("mlp.c_proj.weight")), (Place("ffn_down.weight"),)),
    "mlp.b_out": ((Place("mlp.c_proj.bias"),), (Place("ffn_down.bias"),)),
}
# fmt: on

# hub files come with and without the name of the model around the language model's head
_ROOTS: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    "hf": {"gpt2": ("transformer.", ""), "": ("model.", "")},
    "gguf": {"": ("",)},
}

# tensors that are no parameters: causal masks, and RoPE's frequencies (which the configuration gives)
_INERT = re.compile(r"\.attn\.(masked_)?bias$|rotary_emb\.inv_freq$|attn_rot_embd\.weight$")


def locate(
    config: ModelConfig, names: Iterable[str], kind: Kind, tensors: Mapping[str, object]
) -> dict[str, Place | str]:
    """Canonical name -> its `Place` in a file that holds `tensors`, or the tensor's name where that is missing."""
    is_gpt2 = config.architecture == "gpt2"
    roots = _ROOTS[kind].get(config.architecture) or _ROOTS[kind][""]
    column = 0 if kind == "hf" else 1
    block = "blk" if kind == "gguf" else "h" if is_gpt2 else "layers"
    embeddings = [place.tensor for place in NAMES["W_E"][column]]
    root = next((r for r in roots if any(r + name in tensors for name in embeddings)), roots[0])
    found: dict[str, Place | str] = {}
    for name in names:
        leaf, before = name, root
        if name.startswith("blocks."):
            _, i, leaf = name.split(".", 2)
            before = f"{root}{block}.{i}."
        elif name == "W_U":
            before = ""
        aliases = NAMES[leaf][column]
        there = next((alias for alias in aliases if before + alias.tensor in tensors), None)
        if there is None:
            # name what this architecture's files call it
            found[name] = before + aliases[-1 if is_gpt2 else 0].tensor
        else:
            found[name] = Place(before + there.tensor, there.part, there.in_out)
    return found


def unexpected(kind: Kind, tensors: Iterable[str], used: Iterable[str]) -> list[str]:
    """Tensors inside the blocks that no parameter takes: with them the file's model computes something else."""
    taken = set(used)
    inside = re.compile(r"^(transformer\.|model\.)?(h|layers)\.\d+\." if kind == "hf" else r"^blk\.\d+\.")
    return [name for name in tensors if name not in taken and inside.search(name) and not _INERT.search(name)]
