"""What a model is, in numbers: `ModelConfig`, frozen and validated.

Counts are `n_layer n_head n_kv_head n_ctx n_vocab`; widths `d_model d_head d_mlp`. What an architecture always
has (its norm, how it knows positions, whether its MLP is gated) is a trait in `TRAITS`, not a field that a
file could set.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cutaway.errors import BadConfig, did_you_mean

Norm = Literal["layer", "rms"]
Activation = Literal["gelu_new", "gelu", "silu", "relu"]


@dataclass(frozen=True)
class Traits:
    """What every model of an architecture has in common."""

    norm: Norm
    rotary: bool  # positions by RoPE; otherwise by a learned table
    gated: bool  # the MLP multiplies an activated gate with a linear "up"
    qkv_bias: bool  # b_Q, b_K, b_V
    out_bias: bool  # b_O, and the biases of the MLP
    qk_norm: bool  # an RMSNorm on every query and key, before RoPE
    windowed: bool  # may limit attention to the last `sliding_window` keys
    paper: str


TRAITS: Mapping[str, Traits] = {
    "gpt2": Traits("layer", False, False, True, True, False, False, "Radford et al. 2019"),
    "llama": Traits("rms", True, True, False, False, False, False, "Touvron et al. 2023"),
    "mistral": Traits("rms", True, True, False, False, False, True, "Jiang et al. 2023"),
    "qwen2": Traits("rms", True, True, True, False, False, False, "Yang et al. 2024"),
    "qwen3": Traits("rms", True, True, False, False, True, False, "Yang et al. 2025"),
}


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE's frequencies are changed for longer contexts.

    `kind` "llama3" bends them smoothly (Llama 3.1: `factor`, `low_freq_factor`, `high_freq_factor`,
    `original_n_ctx`); "linear" divides all by `factor`; "factors" divides each by its own entry of `factors`
    (a GGUF file's `rope_freqs.weight`, length d_head // 2).
    """

    kind: Literal["llama3", "linear", "factors"]
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_n_ctx: int = 8192
    factors: tuple[float, ...] = ()

    def check(self, d_head: int) -> None:
        """Raises `BadConfig` where the frequencies would come out as anything but positive numbers."""
        if self.kind not in ("llama3", "linear", "factors"):
            raise BadConfig(f'unknown RoPE scaling "{self.kind}"; Cutaway has llama3, linear and factors.')
        if self.kind == "factors":
            if len(self.factors) != d_head // 2 or not all(0 < each < math.inf for each in self.factors):
                raise BadConfig(f"RoPE's factors should be {d_head // 2} positive numbers, one for each pair.")
        elif not 0 < self.factor < math.inf:
            raise BadConfig(f"RoPE's factor is {self.factor!r}; expected a positive number such as 8.")
        if self.kind == "llama3" and not (
            0 <= self.low_freq_factor < self.high_freq_factor < math.inf and self.original_n_ctx >= 1
        ):
            raise BadConfig(
                f"RoPE's low_freq_factor {self.low_freq_factor!r} must be below high_freq_factor"
                f" {self.high_freq_factor!r}, and the original context at least 1."
            )


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a decoder-only Transformer. Raises `BadConfig` when the numbers do not fit together.

    `tied`: the unembedding is the embedding, transposed. `bias=False` takes the biases out of GPT-2 (as
    nanoGPT can); other architectures ignore it. `sliding_window`: a query sees this many keys, itself included.
    """

    architecture: str
    n_layer: int
    n_head: int
    n_kv_head: int
    n_ctx: int
    n_vocab: int
    d_model: int
    d_head: int
    d_mlp: int
    activation: Activation
    norm_eps: float
    tied: bool
    bias: bool = True
    rope_base: float = 10000.0
    rope_scaling: RopeScaling | None = None
    sliding_window: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.architecture not in TRAITS:
            known = ", ".join(TRAITS)
            raise BadConfig(
                f'unknown architecture "{self.architecture}"{did_you_mean(self.architecture, TRAITS) or "."}'
                f" Cutaway has {known}; add a file under models/ for another."
            )
        for field in COUNTS:
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 2**31:
                raise BadConfig(f"{field} is {value!r}; expected a whole number from 1 to 2147483648.")
        if self.n_head % self.n_kv_head:
            raise BadConfig(
                f"n_head {self.n_head} is not a multiple of n_kv_head {self.n_kv_head}; query heads share"
                " key/value heads in equal groups."
            )
        if self.traits.rotary and self.d_head % 2:
            raise BadConfig(f"d_head {self.d_head} is odd; RoPE turns pairs, so it must be even.")
        if self.activation not in ("gelu_new", "gelu", "silu", "relu"):
            raise BadConfig(f'unknown activation "{self.activation}"; expected gelu_new, gelu, silu or relu.')
        if not 0 < self.norm_eps < 1:
            raise BadConfig(f"norm_eps is {self.norm_eps!r}; expected a small positive number such as 1e-5.")
        if not 0 < self.rope_base < 1e12:
            raise BadConfig(f"rope_base is {self.rope_base!r}; expected a positive number such as 10000.")
        if self.rope_scaling is not None:
            self.rope_scaling.check(self.d_head)
        if self.sliding_window is not None and self.sliding_window < 1:
            raise BadConfig(f"sliding_window is {self.sliding_window}; expected at least 1, or none.")

    @property
    def traits(self) -> Traits:
        return TRAITS[self.architecture]

    @property
    def has_qkv_bias(self) -> bool:
        return self.traits.qkv_bias and self.bias

    @property
    def has_out_bias(self) -> bool:
        return self.traits.out_bias and self.bias

    @property
    def group(self) -> int:
        """Query heads that share one key/value head."""
        return self.n_head // self.n_kv_head

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ModelConfig:
        """From a mapping; an unknown key is refused with the nearest name."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise BadConfig(f'unknown "{key}"{did_you_mean(key, known) or "."}')
        required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        missing = [name for name in required if name not in values]
        if missing:
            raise BadConfig(f"the configuration lacks {', '.join(missing)}.")
        given = dict(values)
        if isinstance(given.get("rope_scaling"), Mapping):
            scaling = dict(given["rope_scaling"])
            scaling["factors"] = tuple(scaling.get("factors", ()))
            given["rope_scaling"] = RopeScaling(**scaling)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `of` takes them and JSON keeps them."""
        return dataclasses.asdict(self)


COUNTS = ("n_layer", "n_head", "n_kv_head", "n_ctx", "n_vocab", "d_model", "d_head", "d_mlp")
