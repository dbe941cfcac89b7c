"""Foreign configurations -> `ModelConfig`: `config.json` as transformers 4 and 5 write it, and GGUF metadata.

Keys that do not change the numbers are ignored. A value that would change them in a way that Cutaway does not
compute is refused, with the key, the value and the way out: better no answer than a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cutaway.config import TRAITS, Activation, ModelConfig, RopeScaling
from cutaway.errors import BadConfig, did_you_mean
from cutaway.weights.refusals import short

# transformers' names for the activations that Cutaway has
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}

# key -> the values with which it changes nothing. (`reorder_and_upcast_attn` and `pretraining_tp` change only the
# order of rounding, and are ignored.)
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "scale_attn_weights": (True, None),
    "scale_attn_by_inverse_layer_idx": (False, None),
    "add_cross_attention": (False, None),
    "is_encoder_decoder": (False, None),
    "partial_rotary_factor": (1, None),
    "quantization_config": (None,),
    "clip_qkv": (None,),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "logit_scale": (1, None),
    "embedding_multiplier": (1, None),
    "residual_multiplier": (1, None),
    "attention_multiplier": (None,),
}

# what a class of transformers takes when its config.json does not say: (n_kv_head, head_dim, sliding_window, n_ctx)
_DEFAULTS: Mapping[str, tuple[int | None, int | None, int | None, int]] = {
    "llama": (None, None, None, 2048),
    "mistral": (8, None, 4096, 4096 * 32),
    "qwen2": (32, None, None, 32768),
    "qwen3": (32, 128, None, 32768),
}

_WAY_OUT = "use a model without it, or add the computation under models/"


class _Values:
    """A configuration's values by key, each checked for its kind; errors name the file and the key."""

    def __init__(self, values: Mapping[str, Any], source: str, prefix: str = "") -> None:
        self.values, self.source, self.prefix = values, source, prefix

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(self.prefix + key, default)

    def __contains__(self, key: str) -> bool:
        return self.prefix + key in self.values

    def bad(self, key: str, expected: str) -> BadConfig:
        return BadConfig(f'{self.source}: "{self.prefix}{key}" is {short(repr(self.get(key)))}; {expected}.')

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.get(key)
        value = default if value is None else value
        if value is None:
            raise BadConfig(f'{self.source} lacks "{self.prefix}{key}"; it is needed to know the model\'s shape.')
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31:
            raise self.bad(key, "expected a whole number from 1 up")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
            raise self.bad(key, "expected a positive number")
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        value = self.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.bad(key, "expected true or false")
        return value

    def text(self, key: str, default: str) -> str:
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.bad(key, "expected text")
        return value

    def only(self, key: str, allowed: tuple[Any, ...]) -> None:
        if key in self and self.get(key) not in allowed:
            raise self.bad(key, f"Cutaway computes only with {short(repr(allowed[0]))}, so {_WAY_OUT}")


# ---- transformers ----


def from_hf(values: Mapping[str, Any], source: str, name: str = "") -> ModelConfig:
    """From `config.json`. Raises `BadConfig`."""
    given = _Values(values, source)
    kind = values.get("model_type")
    if not isinstance(kind, str):
        raise BadConfig(f'{source} has no "model_type"; it should be one of {", ".join(TRAITS)}.')
    if kind not in TRAITS:
        raise BadConfig(
            f'{source}: the "model_type" is "{short(kind)}"{did_you_mean(kind, TRAITS) or ";"} Cutaway has'
            f" {', '.join(TRAITS)}; add a file under models/ for another."
        )
    for key, allowed in _ONLY.items():
        given.only(key, allowed)
    return _hf_gpt2(given, name) if kind == "gpt2" else _hf_llama(kind, given, name)


def _hf_gpt2(given: _Values, name: str) -> ModelConfig:
    d_model, n_head = given.whole("n_embd", 768), given.whole("n_head", 12)
    return ModelConfig(
        architecture="gpt2",
        n_layer=given.whole("n_layer", 12),
        n_head=n_head,
        n_kv_head=n_head,
        n_ctx=given.whole("n_positions", 1024),
        n_vocab=given.whole("vocab_size", 50257),
        d_model=d_model,
        d_head=_share(d_model, n_head, given.source),
        d_mlp=given.whole("n_inner", 4 * d_model),
        activation=_activation(given, "activation_function", "gelu_new"),
        norm_eps=given.number("layer_norm_epsilon", 1e-5),
        tied=given.truth("tie_word_embeddings", True),
        name=name,
    )


def _hf_llama(kind: str, given: _Values, name: str) -> ModelConfig:
    n_kv_head, head_dim, window, n_ctx = _DEFAULTS[kind]
    d_model, n_head = given.whole("hidden_size"), given.whole("num_attention_heads")
    if given.get("num_key_value_heads", 0) is None:
        n_kv_head = None
    n_layer = given.whole("num_hidden_layers")
    if given.get("head_dim", head_dim) is None:
        head_dim = _share(d_model, n_head, given.source)
    if "sliding_window" in given and kind == "mistral":
        window = None if given.get("sliding_window") is None else given.whole("sliding_window")
    _refuse_mixed_windows(kind, given, n_layer, window)
    base, scaling = _hf_rope(given)
    return ModelConfig(
        architecture=kind,
        n_layer=n_layer,
        n_head=n_head,
        n_kv_head=given.whole("num_key_value_heads", n_kv_head or n_head),
        n_ctx=given.whole("max_position_embeddings", n_ctx),
        n_vocab=given.whole("vocab_size"),
        d_model=d_model,
        d_head=given.whole("head_dim", head_dim),
        d_mlp=given.whole("intermediate_size"),
        activation=_activation(given, "hidden_act", "silu"),
        norm_eps=given.number("rms_norm_eps", 1e-6),
        tied=given.truth("tie_word_embeddings", False),
        rope_base=base,
        rope_scaling=scaling,
        sliding_window=window,
        name=name,
    )


def _share(d_model: int, n_head: int, source: str) -> int:
    if d_model % n_head:
        raise BadConfig(f"{source}: {n_head} heads do not share a width of {d_model} equally; one number is wrong.")
    return d_model // n_head


def _activation(given: _Values, key: str, default: str) -> Activation:
    value = given.text(key, default)
    if value not in ACTIVATIONS:
        raise given.bad(key, f"Cutaway has {', '.join(ACTIVATIONS)}, so {_WAY_OUT}")
    return ACTIVATIONS[value]


def _refuse_mixed_windows(kind: str, given: _Values, n_layer: int, window: int | None) -> None:
    """Windows in some blocks only (Qwen's `max_window_layers`, `layer_types`) are not computed."""
    slides = given.get("use_sliding_window") not in (None, False)
    if slides and kind != "mistral" and given.whole("max_window_layers", 28) < n_layer:
        raise given.bad("use_sliding_window", f"Cutaway has no window in some blocks only, so {_WAY_OUT}")
    expected = "sliding_attention" if window is not None else "full_attention"
    types = given.get("layer_types")
    if types is not None and (not isinstance(types, list) or any(each != expected for each in types)):
        raise given.bad("layer_types", f'Cutaway computes "{expected}" in every block here, so {_WAY_OUT}')


def _hf_rope(given: _Values) -> tuple[float, RopeScaling | None]:
    """transformers 5 keeps all in `rope_parameters`; 4 had `rope_theta`, and `rope_scaling` for what bends it."""
    base = given.number("rope_theta", 10000.0)
    for key in ("rope_parameters", "rope_scaling"):
        inner = given.get(key)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            raise given.bad(key, "expected an object or null")
        rope = _Values(inner, f"{given.source}, {key}")
        rope.only("partial_rotary_factor", (1, None))
        base = rope.number("rope_theta", base)
        spelled = "rope_type" if inner.get("rope_type") is not None else "type"
        kind = rope.text(spelled, "default")
        if kind == "default":
            continue
        if kind == "linear":
            return base, RopeScaling("linear", factor=rope.number("factor", 1.0))
        if kind == "llama3":
            return base, RopeScaling(
                "llama3",
                factor=rope.number("factor", 8.0),
                low_freq_factor=rope.number("low_freq_factor", 1.0),
                high_freq_factor=rope.number("high_freq_factor", 4.0),
                original_n_ctx=rope.whole("original_max_position_embeddings", 8192),
            )
        raise rope.bad(spelled, f"Cutaway has default, linear and llama3, so {_WAY_OUT}")
    return base, None


# ---- GGUF ----

_GGUF_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "attention.scale": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.clamp_kqv": (0,),
    "logit_scale": (1,),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "embedding_scale": (1,),
    "residual_scale": (1,),
    "attention.causal": (True,),
    "use_parallel_residual": (False,),
}


def from_gguf(
    metadata: Mapping[str, Any],
    tensors: Mapping[str, Any],
    source: str,
    rope_factors: tuple[float, ...] = (),
) -> ModelConfig:
    """From a GGUF's metadata; `tensors` by name, each with its `shape`. Raises `BadConfig`."""
    kind = metadata.get("general.architecture")
    known = ("gpt2", "llama", "qwen2", "qwen3")
    if not isinstance(kind, str) or kind not in known:
        raise BadConfig(
            f'{source}: "general.architecture" is {short(repr(kind))}; Cutaway reads {", ".join(known)}; add a file'
            " under models/ for another."
        )
    given = _Values(metadata, source, prefix=kind + ".")
    for key, allowed in _GGUF_REFUSED.items():
        given.only(key, allowed)
    d_model, n_head = given.whole("embedding_length"), given.whole("attention.head_count")
    d_head = given.whole(
        "attention.key_length",
        None if "attention.key_length" in given else _share(d_model, n_head, source),
    )
    for key in ("attention.value_length", "rope.dimension_count"):
        if key in given and given.get(key) != d_head and kind != "gpt2":
            raise given.bad(key, f"Cutaway computes only with {d_head}, the width of a head, so {_WAY_OUT}")
    window = given.whole("attention.sliding_window") if given.get("attention.sliding_window") else None
    if window is not None and kind != "llama":
        raise given.bad("attention.sliding_window", f"Cutaway has windows for Mistral alone, so {_WAY_OUT}")
    rms = kind != "gpt2"
    return ModelConfig(
        architecture="mistral" if window is not None else kind,
        n_layer=given.whole("block_count"),
        n_head=n_head,
        n_kv_head=given.whole("attention.head_count_kv", n_head),
        n_ctx=given.whole("context_length"),
        n_vocab=_vocabulary(given, tensors, source),
        d_model=d_model,
        d_head=d_head,
        d_mlp=given.whole("feed_forward_length"),
        activation="silu" if rms else "gelu_new",
        norm_eps=given.number("attention.layer_norm_rms_epsilon" if rms else "attention.layer_norm_epsilon", 1e-5),
        tied="output.weight" not in tensors,
        rope_base=given.number("rope.freq_base", 10000.0),
        rope_scaling=_gguf_rope(given, rope_factors, d_head),
        sliding_window=window,
        name=_name(metadata),
    )


def _name(metadata: Mapping[str, Any]) -> str:
    name = metadata.get("general.name")
    return name if isinstance(name, str) else ""


def _vocabulary(given: _Values, tensors: Mapping[str, Any], source: str) -> int:
    """From the embedding's own shape: converters round `vocab_size` in different ways."""
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise BadConfig(
            f"{source} lacks the tensor token_embd.weight, so it is no language model; fetch another file."
        )
    rows = int(embedding.shape[0])
    if given.whole("vocab_size", rows) != rows:
        raise given.bad(
            "vocab_size", f"but token_embd.weight has {rows} rows; the file is damaged, so fetch it again"
        )
    return rows


def _gguf_rope(given: _Values, factors: tuple[float, ...], d_head: int) -> RopeScaling | None:
    # without a type llama.cpp takes "linear"; files of 2023 called the factor scale_linear
    kind = given.text("rope.scaling.type", "linear")
    if kind not in ("none", "linear"):
        raise given.bad("rope.scaling.type", f"Cutaway has none and linear, so {_WAY_OUT}")
    key = "rope.scaling.factor" if given.get("rope.scaling.factor") else "rope.scale_linear"
    factor = given.number(key, 1.0) if kind == "linear" and given.get(key) else 1.0
    if factors:
        if len(factors) != d_head // 2 or not all(math.isfinite(f) and f > 0 for f in factors):
            raise BadConfig(
                f"{given.source}: rope_freqs.weight should hold {d_head // 2} positive numbers; the file is damaged,"
                " so fetch it again."
            )
        if factor != 1.0:
            raise given.bad(key, f"together with rope_freqs.weight it is not computed, so {_WAY_OUT}")
        return RopeScaling("factors", factors=factors)
    return RopeScaling("linear", factor=factor) if factor != 1.0 else None
