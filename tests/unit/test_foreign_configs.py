"""Foreign configurations: both spellings, transformers' defaults, and refusals of what would change the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from cutaway.config import ModelConfig, RopeScaling
from cutaway.errors import BadConfig
from cutaway.weights.configs import from_gguf, from_hf
from cutaway.weights.gguf import TensorInfo

# as the hub has them, inert keys included
GPT2: dict[str, Any] = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
    "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
    "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257,
}  # fmt: skip
SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
    "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None,
    "rope_theta": 100000, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.42.3",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "use_cache": True, "vocab_size": 49152,
}  # fmt: skip
LLAMA32: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "head_dim": 64, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": False,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": True,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "torch_dtype": "bfloat16", "vocab_size": 128256,
}  # fmt: skip
QWEN25: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": True, "use_mrope": False, "use_sliding_window": False,
    "vocab_size": 151936,
}  # fmt: skip
QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
    "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
    "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
MISTRAL: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 32000,
}  # fmt: skip


def read(values: dict[str, Any], **changes: Any) -> ModelConfig:
    return from_hf(
        {key: value for key, value in {**values, **changes}.items() if value != "ABSENT"}, "config.json", "m"
    )


def test_the_hub_files() -> None:
    assert read(GPT2) == ModelConfig(
        "gpt2", 12, 12, 12, 1024, 50257, 768, 64, 3072, "gelu_new", 1e-5, tied=True, name="m"
    )  # fmt: skip
    assert read(SMOLLM2) == ModelConfig(
        "llama", 30, 9, 3, 8192, 49152, 576, 64, 1536, "silu", 1e-5, tied=True, rope_base=100000.0, name="m"
    )
    assert read(LLAMA32) == ModelConfig(
        "llama", 16, 32, 8, 131072, 128256, 2048, 64, 8192, "silu", 1e-5, tied=True, rope_base=500000.0,
        rope_scaling=RopeScaling("llama3", 32.0, 1.0, 4.0, 8192), name="m",
    )  # fmt: skip
    assert read(QWEN25) == ModelConfig(
        "qwen2", 24, 14, 2, 32768, 151936, 896, 64, 4864, "silu", 1e-6, tied=True, rope_base=1e6, name="m"
    )
    assert read(QWEN3) == ModelConfig(
        "qwen3", 28, 16, 8, 40960, 151936, 1024, 128, 3072, "silu", 1e-6, tied=True, rope_base=1e6, name="m"
    )
    assert read(MISTRAL) == ModelConfig(
        "mistral", 32, 32, 8, 32768, 32000, 4096, 128, 14336, "silu", 1e-5, tied=False, rope_base=10000.0,
        sliding_window=4096, name="m",
    )  # fmt: skip


def test_both_spellings_of_rope() -> None:
    old = read(LLAMA32)
    inner = {"rope_theta": 500000.0, **LLAMA32["rope_scaling"]}
    assert read(LLAMA32, rope_theta="ABSENT", rope_scaling="ABSENT", rope_parameters=inner, dtype="bfloat16") == old
    plain = {"rope_theta": 100000, "rope_type": "default"}
    assert read(SMOLLM2, rope_theta="ABSENT", rope_parameters=plain) == read(SMOLLM2)
    linear = RopeScaling("linear", factor=4.0)
    assert read(SMOLLM2, rope_scaling={"type": "linear", "factor": 4.0}).rope_scaling == linear
    assert read(SMOLLM2, rope_parameters={"rope_type": "linear", "factor": 4.0}).rope_scaling == linear
    assert read(SMOLLM2, rope_theta="ABSENT").rope_base == 10000.0


def test_absent_keys_take_transformers_defaults() -> None:
    assert read(SMOLLM2, num_key_value_heads="ABSENT").n_kv_head == 9
    assert read(SMOLLM2, num_key_value_heads=None).n_kv_head == 9
    assert read(MISTRAL, num_key_value_heads="ABSENT").n_kv_head == 8
    assert read(SMOLLM2, tie_word_embeddings="ABSENT").tied is False
    assert read(GPT2, n_inner=None).d_mlp == 3072 and read(GPT2, n_inner=100).d_mlp == 100
    assert read(GPT2, tie_word_embeddings=False).tied is False
    assert read(QWEN3, head_dim="ABSENT").d_head == 128
    assert read(QWEN3, head_dim=None).d_head == 64
    assert read(LLAMA32, head_dim=None).d_head == 64
    assert read(MISTRAL, sliding_window="ABSENT").sliding_window == 4096
    assert read(MISTRAL, sliding_window=None).sliding_window is None
    assert read(GPT2, activation_function="gelu_pytorch_tanh").activation == "gelu_new"
    assert read(SMOLLM2, layer_types=["full_attention"] * 30) == read(SMOLLM2)
    assert read(QWEN25, use_sliding_window=True, max_window_layers=24) == read(QWEN25)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "biases in attention": (SMOLLM2, {"attention_bias": True}, '"attention_bias" is True'),
    "biases in the MLP": (SMOLLM2, {"mlp_bias": True}, '"mlp_bias" is True'),
    "yarn": (QWEN3, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "\"rope_type\" is 'yarn'"),
    "dynamic": (SMOLLM2, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "\"type\" is 'dynamic'"),
    "yarn as 5 spells it": (QWEN3, {"rope_parameters": {"rope_type": "yarn"}}, "\"rope_type\" is 'yarn'"),
    "part of the head": (SMOLLM2, {"partial_rotary_factor": 0.5}, '"partial_rotary_factor" is 0.5'),
    "the same, inside": (
        SMOLLM2,
        {"rope_parameters": {"partial_rotary_factor": 0.5}},
        '"partial_rotary_factor" is 0.5',
    ),
    "scaling by layer": (
        GPT2,
        {"scale_attn_by_inverse_layer_idx": True},
        '"scale_attn_by_inverse_layer_idx" is True',
    ),
    "no scaling": (GPT2, {"scale_attn_weights": False}, '"scale_attn_weights" is False'),
    "cross-attention": (GPT2, {"add_cross_attention": True}, '"add_cross_attention" is True'),
    "windows in some blocks": (QWEN25, {"use_sliding_window": True}, '"use_sliding_window" is True'),
    "mixed layers": (QWEN3, {"layer_types": ["full_attention", "sliding_attention"] * 14}, '"layer_types" is'),
    "unknown activation": (SMOLLM2, {"hidden_act": "relu2"}, "\"hidden_act\" is 'relu2'; Cutaway has gelu_new"),
    "packed weights": (SMOLLM2, {"quantization_config": {"quant_method": "gptq"}}, '"quantization_config" is'),
    "another architecture": (SMOLLM2, {"model_type": "lama"}, 'is "lama"; did you mean "llama"?'),
    "a far architecture": (SMOLLM2, {"model_type": "rwkv"}, 'is "rwkv"; Cutaway has gpt2, llama'),
    "no architecture": (SMOLLM2, {"model_type": None}, 'no "model_type"'),
    "a missing size": (SMOLLM2, {"hidden_size": "ABSENT"}, 'lacks "hidden_size"'),
    "a size as text": (SMOLLM2, {"hidden_size": "576"}, "\"hidden_size\" is '576'; expected a whole number"),
    "a size of nothing": (SMOLLM2, {"num_hidden_layers": 0}, '"num_hidden_layers" is 0'),
    "a size below nothing": (GPT2, {"n_embd": -768}, '"n_embd" is -768'),
    "a size as truth": (GPT2, {"n_head": True}, '"n_head" is True'),
    "an absurd size": (GPT2, {"n_layer": 2**40}, '"n_layer" is 1099511627776'),
    "heads that do not share": (GPT2, {"n_head": 7}, "7 heads do not share a width of 768"),
    "a base of infinity": (SMOLLM2, {"rope_theta": float("inf")}, '"rope_theta" is inf'),
    "a base of nothing": (SMOLLM2, {"rope_theta": float("nan")}, '"rope_theta" is nan'),
    "rope as a list": (SMOLLM2, {"rope_scaling": [1]}, '"rope_scaling" is [1]; expected an object or null'),
    "tied as a number": (SMOLLM2, {"tie_word_embeddings": 1}, '"tie_word_embeddings" is 1'),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals_name_key_value_and_way_out(what: str) -> None:
    values, changes, message = REFUSED[what]
    with pytest.raises(BadConfig) as caught:
        read(values, **changes)
    text = str(caught.value)
    assert message in text and "config.json" in text and len(text) < 400 and "\n" not in text


# ---- GGUF ----

SMOL_GGUF: dict[str, Any] = {
    "general.architecture": "llama", "general.name": "Smol", "llama.block_count": 30, "llama.context_length": 8192,
    "llama.embedding_length": 576, "llama.feed_forward_length": 1536, "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3, "llama.rope.freq_base": 100000.0, "llama.vocab_size": 49152,
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.dimension_count": 64,
}  # fmt: skip
TENSORS = {"token_embd.weight": TensorInfo("token_embd.weight", "Q8_0", (49152, 576), 0, 1)}
OUTPUT = {"output.weight": TensorInfo("output.weight", "Q8_0", (49152, 576), 0, 1)}


def read_gguf(factors: tuple[float, ...] = (), **changes: Any) -> ModelConfig:
    values = SMOL_GGUF | {"llama." + key.replace("__", "."): value for key, value in changes.items()}
    return from_gguf({k: v for k, v in values.items() if v != "ABSENT"}, TENSORS, "m.gguf", factors)


def test_gguf_metadata() -> None:
    expected = ModelConfig(
        "llama", 30, 9, 3, 8192, 49152, 576, 64, 1536, "silu", 1e-5, tied=True, rope_base=100000.0, name="Smol"
    )
    assert read_gguf() == expected
    assert from_gguf(SMOL_GGUF, TENSORS | OUTPUT, "m.gguf").tied is False
    assert read_gguf(vocab_size="ABSENT") == expected
    assert read_gguf(attention__head_count_kv="ABSENT").n_kv_head == 9
    assert read_gguf(rope__freq_base="ABSENT").rope_base == 10000.0
    assert read_gguf(attention__key_length=32, attention__value_length=32, rope__dimension_count=32).d_head == 32
    window = read_gguf(attention__sliding_window=4096)
    assert window.architecture == "mistral" and window.sliding_window == 4096
    linear = RopeScaling("linear", factor=4.0)
    assert read_gguf(rope__scaling__type="linear", rope__scaling__factor=4.0).rope_scaling == linear
    assert read_gguf(rope__scaling__factor=4.0).rope_scaling == linear
    assert read_gguf(rope__scale_linear=4.0).rope_scaling == linear
    assert read_gguf(rope__scaling__type="none", rope__scaling__factor=4.0).rope_scaling is None
    factors = (1.0,) * 30 + (8.0, 32.0)
    assert read_gguf(factors).rope_scaling == RopeScaling("factors", factors=factors)


GGUF_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "experts": ({"expert_count": 8}, '"llama.expert_count" is 8'),
    "yarn": ({"rope__scaling__type": "yarn"}, "\"llama.rope.scaling.type\" is 'yarn'"),
    "part of the head": ({"rope__dimension_count": 32}, '"llama.rope.dimension_count" is 32'),
    "values of another width": ({"attention__value_length": 32}, '"llama.attention.value_length" is 32'),
    "a scale of its own": ({"attention__scale": 0.5}, '"llama.attention.scale" is 0.5'),
    "sizes that vary": ({"feed_forward_length": [1, 2]}, '"llama.feed_forward_length" is [1, 2]'),
    "a missing size": ({"block_count": "ABSENT"}, 'lacks "llama.block_count"'),
    "another vocabulary": (
        {"vocab_size": 49153},
        '"llama.vocab_size" is 49153; but token_embd.weight has 49152 rows',
    ),
}


@pytest.mark.parametrize("what", GGUF_REFUSED)
def test_gguf_refusals(what: str) -> None:
    changes, message = GGUF_REFUSED[what]
    with pytest.raises(BadConfig) as caught:
        read_gguf(**changes)
    assert message in str(caught.value) and "m.gguf" in str(caught.value)


def test_gguf_refusals_of_the_whole() -> None:
    with pytest.raises(BadConfig, match=r"is 'mamba'; Cutaway reads gpt2, llama, qwen2, qwen3"):
        from_gguf({"general.architecture": "mamba"}, TENSORS, "m.gguf")
    with pytest.raises(BadConfig, match="is None"):
        from_gguf({}, TENSORS, "m.gguf")
    with pytest.raises(BadConfig, match=r"lacks the tensor token_embd\.weight"):
        from_gguf(SMOL_GGUF, {}, "m.gguf")
    with pytest.raises(BadConfig, match="should hold 32 positive numbers"):
        read_gguf((1.0,) * 31)
    with pytest.raises(BadConfig, match="should hold 32 positive numbers"):
        read_gguf((1.0,) * 31 + (float("nan"),))
    with pytest.raises(BadConfig, match=r"together with rope_freqs\.weight"):
        read_gguf((1.0,) * 32, rope__scaling__factor=4.0)
