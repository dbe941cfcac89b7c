"""The table of names: complete for every architecture, and each foreign name taken once."""

from __future__ import annotations

import pytest

from cutaway.sites.parameters import declared_parameters
from cutaway.weights.names import NAMES, Place, locate, unexpected
from tests.support.tiny import SHAPES, tiny_config


def test_every_declared_parameter_has_a_row() -> None:
    for shape in SHAPES:
        for name in declared_parameters(tiny_config(shape)):
            leaf = name.split(".", 2)[2] if name.startswith("blocks.") else name
            assert leaf in NAMES, name


def test_no_foreign_name_means_two_things() -> None:
    for column in (0, 1):
        seen: dict[tuple[str, int | None], str] = {}
        for name, places in NAMES.items():
            for place in places[column]:
                key = (place.tensor, place.part)
                assert key not in seen, (name, seen.get(key))
                seen[key] = name


def test_famous_names() -> None:
    """Spelled out from the hub's own files."""
    llama = tiny_config("llama-gqa")
    names = ["W_E", "W_U", "blocks.2.mlp.W_gate", "blocks.0.ln2.w", "ln_final.w"]
    files = {
        "model.embed_tokens.weight", "lm_head.weight", "model.layers.2.mlp.gate_proj.weight",
        "model.layers.0.post_attention_layernorm.weight", "model.norm.weight",
    }  # fmt: skip
    found = locate(llama, names, "hf", dict.fromkeys(files))
    assert [place.tensor for place in found.values() if isinstance(place, Place)] == [
        "model.embed_tokens.weight", "lm_head.weight", "model.layers.2.mlp.gate_proj.weight",
        "model.layers.0.post_attention_layernorm.weight", "model.norm.weight",
    ]  # fmt: skip
    gguf = locate(llama, names, "gguf", dict.fromkeys(["blk.2.ffn_gate.weight", "token_embd.weight"]))
    assert gguf["blocks.2.mlp.W_gate"] == Place("blk.2.ffn_gate.weight")
    assert gguf["W_U"] == "output.weight"  # missing: what it should be called


@pytest.mark.parametrize("root", ["transformer.", ""])
def test_gpt2_with_and_without_its_prefix(root: str) -> None:
    config = tiny_config("gpt2")
    tensors = dict.fromkeys([root + "wte.weight", root + "h.1.attn.c_attn.weight", root + "h.1.attn.c_attn.bias"])
    found = locate(config, ["W_E", "blocks.1.attn.W_K", "blocks.1.attn.b_V"], "hf", tensors)
    assert found == {
        "W_E": Place(root + "wte.weight"),
        "blocks.1.attn.W_K": Place(root + "h.1.attn.c_attn.weight", part=1, in_out=True),
        "blocks.1.attn.b_V": Place(root + "h.1.attn.c_attn.bias", part=2),
    }


def test_what_is_missing_is_called_by_its_name() -> None:
    assert locate(tiny_config("gpt2"), ["blocks.3.mlp.W_in"], "hf", {}) == {
        "blocks.3.mlp.W_in": "transformer.h.3.mlp.c_fc.weight"
    }
    assert locate(tiny_config("qwen3"), ["blocks.3.attn.q_norm.w"], "gguf", {}) == {
        "blocks.3.attn.q_norm.w": "blk.3.attn_q_norm.weight"
    }


def test_masks_and_frequencies_are_no_parameters() -> None:
    inert = ["h.0.attn.bias", "transformer.h.3.attn.masked_bias", "model.layers.0.self_attn.rotary_emb.inv_freq"]
    assert unexpected("hf", [*inert, "score.weight", "lm_head.weight"], []) == []
    assert unexpected(
        "hf", ["h.0.attn.c_attn.bias", "model.layers.9.mlp.up_proj.bias"], ["h.0.attn.c_attn.bias"]
    ) == ["model.layers.9.mlp.up_proj.bias"]
    assert unexpected(
        "gguf", ["blk.0.attn_rot_embd.weight", "rope_freqs.weight", "blk.0.ffn_gate_exps.weight"], []
    ) == ["blk.0.ffn_gate_exps.weight"]
