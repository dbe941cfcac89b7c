"""The shapes of models that people know, and shapes made up from a few numbers.

The numbers are those of each model's own `config.json` (or, for GPT-3 and the Transformer of 2017, of its paper).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cutaway.config import COUNTS, TRAITS, ModelConfig, RopeScaling
from cutaway.errors import BadConfig, UnknownModel, did_you_mean


@dataclass(frozen=True)
class Partial:
    """A model of which only some parts are counted. `leaves_out` names parts of the table ("norms", "positions")."""

    config: ModelConfig
    leaves_out: tuple[str, ...]
    note: str

    @property
    def name(self) -> str:
        return self.config.name


@dataclass(frozen=True)
class EncoderDecoder:
    """The Transformer of Vaswani et al. 2017: `n_layer` encoder blocks and as many decoder blocks.

    Biases on every projection, LayerNorm after each part (none at the end), positions by sines (nothing learned), one
    matrix for both embeddings and the unembedding.
    """

    name: str
    n_layer: int
    n_head: int
    n_vocab: int
    d_model: int
    d_head: int
    d_mlp: int
    note: str = "as in the paper: encoder and decoder, post-norm, sinusoidal positions, one shared vocabulary"


SpecialShape = Partial | EncoderDecoder
Shape = ModelConfig | SpecialShape


def _gpt2(name: str, n_layer: int, n_head: int, d_model: int, **other: Any) -> ModelConfig:
    values: dict[str, Any] = {"n_ctx": 1024, "tied": True, **other}
    return ModelConfig(
        architecture="gpt2",
        n_layer=n_layer,
        n_head=n_head,
        n_kv_head=n_head,
        n_vocab=50257,
        d_model=d_model,
        d_head=d_model // n_head,
        d_mlp=4 * d_model,
        activation="gelu_new",
        norm_eps=1e-5,
        name=name,
        **values,
    )


def _llama(
    name: str, n_layer: int, heads: tuple[int, int], d_model: int, d_mlp: int, n_vocab: int, n_ctx: int, **other: Any
) -> ModelConfig:
    n_head, n_kv_head = heads
    values: dict[str, Any] = {
        "architecture": "llama",
        "d_head": d_model // n_head,
        "norm_eps": 1e-5,
        "tied": False,
        **other,
    }
    return ModelConfig(
        n_layer=n_layer,
        n_head=n_head,
        n_kv_head=n_kv_head,
        n_ctx=n_ctx,
        n_vocab=n_vocab,
        d_model=d_model,
        d_mlp=d_mlp,
        activation="silu",
        name=name,
        **values,
    )


_SMOLLM2: dict[str, Any] = {"rope_base": 100000.0, "tied": True}
_QWEN: dict[str, Any] = {"norm_eps": 1e-6, "rope_base": 1000000.0, "tied": True}
_LLAMA32 = RopeScaling("llama3", factor=32.0)

_SHAPES: tuple[Shape, ...] = (
    _gpt2("gpt2", 12, 12, 768),
    _gpt2("gpt2-medium", 24, 16, 1024),
    _gpt2("gpt2-large", 36, 20, 1280),
    _gpt2("gpt2-xl", 48, 25, 1600),
    _gpt2("distilgpt2", 6, 12, 768),
    Partial(
        _gpt2("gpt3", 96, 96, 12288, n_ctx=2048, tied=False, bias=False),
        ("norms", "positions"),
        "as 3Blue1Brown's film counts it: no biases, no norms, no positions, an unembedding of its own",
    ),
    _llama("llama-2-7b", 32, (32, 32), 4096, 11008, 32000, 4096),
    _llama("llama-3-8b", 32, (32, 8), 4096, 14336, 128256, 8192, rope_base=500000.0),
    _llama(
        "llama-3.2-1b", 16, (32, 8), 2048, 8192, 128256, 131072, rope_base=500000.0, rope_scaling=_LLAMA32, tied=True
    ),
    _llama("tinyllama", 22, (32, 4), 2048, 5632, 32000, 2048),
    _llama("smollm2-135m", 30, (9, 3), 576, 1536, 49152, 8192, **_SMOLLM2),
    _llama("smollm2-360m", 32, (15, 5), 960, 2560, 49152, 8192, **_SMOLLM2),
    _llama("mistral-7b", 32, (32, 8), 4096, 14336, 32000, 32768, architecture="mistral", sliding_window=4096),
    _llama("qwen2.5-0.5b", 24, (14, 2), 896, 4864, 151936, 32768, architecture="qwen2", **_QWEN),
    _llama("qwen3-0.6b", 28, (16, 8), 1024, 3072, 151936, 40960, architecture="qwen3", d_head=128, **_QWEN),
    EncoderDecoder("transformer-2017", 6, 8, 37000, 512, 64, 2048),
)

PRESETS: Mapping[str, Shape] = MappingProxyType({shape.name: shape for shape in _SHAPES})
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "gpt2-small": "gpt2",
        "gpt-2": "gpt2",
        "gpt-3": "gpt3",
        "transformer-base": "transformer-2017",
        "smollm2": "smollm2-135m",
        "mistral-7b-v0.1": "mistral-7b",
    }
)


def model_shape(name: str) -> Shape:
    """The shape of a known model, by name (any case). Raises `UnknownModel` with the nearest names."""
    wanted = name.strip().lower()
    wanted = ALIASES.get(wanted, wanted)
    if wanted not in PRESETS:
        raise UnknownModel(
            f'no known shape is called "{name}"{did_you_mean(wanted, [*PRESETS, *ALIASES]) or "."}'
            f" Known: {', '.join(PRESETS)}; or give the numbers (n_layer, d_model, n_head, …)."
        )
    return PRESETS[wanted]


NUMBERS = (*COUNTS, "architecture", "tied", "bias", "sliding_window", "name")


def hypothetical(base: str | None = None, **numbers: Any) -> ModelConfig:
    """A shape from a few numbers; what is not given follows from the rest.

    `architecture` ("gpt2" unless given), `n_layer` and `d_model` must be known, from the numbers or from `base`, a
    preset to start from. Then n_head = d_model / 64, n_kv_head = n_head, d_head = d_model / n_head, d_mlp = 4 d_model
    (gated: 8/3 d_model, rounded up to a multiple of 256, as Llama does), and the vocabulary and context of GPT-2
    (50,257 and 1,024) or Llama 2 (32,000 and 4,096). Raises `BadConfig` when the numbers make no model.
    """
    for key in numbers:
        if key not in NUMBERS:
            raise BadConfig(f'unknown "{key}"{did_you_mean(key, NUMBERS) or "."} Known: {", ".join(NUMBERS)}.')
    given = {key: value for key, value in numbers.items() if value is not None}
    for key in ("n_layer", "n_head", "n_kv_head", "d_model", "d_head"):
        value = given.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadConfig(f"{key} is {value!r}; expected a whole number of at least 1.")
    values = {**_start(base, given), **given}
    architecture = values.setdefault("architecture", "gpt2")
    traits = TRAITS.get(architecture)
    if traits is None:
        raise BadConfig(
            f'unknown architecture "{architecture}"{did_you_mean(str(architecture), TRAITS) or "."}'
            f" Known: {', '.join(TRAITS)}."
        )
    for key in ("n_layer", "d_model"):
        if key not in values:
            raise BadConfig(f"{key} is missing; a shape needs at least n_layer and d_model.")
    if values.get("sliding_window") is not None and not traits.windowed:
        windowed = ", ".join(name for name, each in TRAITS.items() if each.windowed)
        raise BadConfig(f"{architecture} has no sliding window; leave sliding_window out, or take {windowed}.")
    if given.get("bias") is True and not (traits.qkv_bias or traits.out_bias):
        raise BadConfig(f"{architecture} has no biases; leave bias out.")
    d_model: int = values["d_model"]
    _fill(values, "n_head", lambda: _heads(d_model))
    _fill(values, "n_kv_head", lambda: values["n_head"])
    _fill(values, "d_head", lambda: _head_width(d_model, values["n_head"]))
    _fill(values, "d_mlp", lambda: _mlp_width(d_model, traits.gated))
    _fill(values, "n_vocab", lambda: 32000 if traits.rotary else 50257)
    _fill(values, "n_ctx", lambda: 4096 if traits.rotary else 1024)
    _fill(values, "activation", lambda: "silu" if traits.gated else "gelu_new")
    _fill(values, "norm_eps", lambda: 1e-5)
    _fill(values, "tied", lambda: not traits.gated)
    _fill(values, "name", lambda: f"a hypothetical {architecture}")
    return ModelConfig.of(values)


def _start(base: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `base`, without those that follow from a number that is changed here."""
    if base is None:
        return {}
    shape = model_shape(base)
    if not isinstance(shape, ModelConfig):
        raise BadConfig(f'"{base}" is counted by rules of its own and cannot be changed; start from another shape.')
    values = {field.name: getattr(shape, field.name) for field in dataclasses.fields(shape)}
    changed = {key for key, value in given.items() if value != values[key]}
    if changed & {"d_model", "n_head"}:
        if shape.d_head * shape.n_head == shape.d_model:
            del values["d_head"]
        if shape.n_kv_head == shape.n_head:
            del values["n_kv_head"]
    if changed & {"d_model", "architecture"} and shape.d_mlp == _mlp_width(shape.d_model, shape.traits.gated):
        del values["d_mlp"]
    if "architecture" in changed:
        for effect in ("activation", "norm_eps", "tied", "bias", "rope_scaling", "sliding_window"):
            del values[effect]
    values["name"] = f"a changed {shape.name}"
    return values


def _fill(values: dict[str, Any], key: str, default: Callable[[], Any]) -> None:
    if key not in values:
        values[key] = default()


def _heads(d_model: int) -> int:
    if d_model % 64:
        raise BadConfig(f"d_model {d_model} is not a multiple of 64, the usual width of a head; give n_head.")
    return d_model // 64


def _head_width(d_model: int, n_head: int) -> int:
    if d_model % n_head:
        raise BadConfig(
            f"d_model {d_model} is not a multiple of n_head {n_head}; change one of them, or give d_head."
        )
    return d_model // n_head


def _mlp_width(d_model: int, gated: bool) -> int:
    return -(-(8 * d_model // 3) // 256) * 256 if gated else 4 * d_model
