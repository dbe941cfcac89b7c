"""What travels about where to look (heads by habit, the largest neurons, pieces of the vocabulary), and about what
comes of trying: a patching sweep, two texts compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cutaway.wire.structures.traces import STRICT, Number, TextSpec, TokenAnswer

# -- asked -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SweepRequest:
    """Runs `corrupted` once for each layer and position, with `site` there set to what it is in the run of `clean`.
    `site`: resid_pre, attn_out or mlp_out. Watched is the logit of `token` after the last position, or its lead over
    `against`. `pairs`: [position in corrupted, position in clean]; without them, each position that both have."""

    model: str
    clean: TextSpec
    corrupted: TextSpec
    site: str
    token: int
    against: int | None = None
    pairs: list[list[int]] | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


# -- answered: finding -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DetectedHead:
    """How much of its attention a head gives, on average, to: the position before; where the same token stood before;
    what came after it then; the first position."""

    block: int
    head: int
    previous_token: float
    duplicate_token: float
    induction: float
    first_token: float


@dataclass(frozen=True)
class DetectorsAnswer:
    """Over `n_sequences` texts, each of `length` random tokens said twice, drawn with `seed`. `note`: what is
    counted."""

    heads: list[DetectedHead]
    seed: int
    n_sequences: int
    length: int
    note: str


@dataclass(frozen=True)
class LargestNeuron:
    """`activation` × `per_activation` = `value`, what the neuron added to the logit."""

    block: int
    neuron: int
    activation: Number
    per_activation: Number
    value: Number


@dataclass(frozen=True)
class LargestNeuronsAnswer:
    """The neurons of all blocks with the largest |activation|, or |value|, at `position`, largest first."""

    position: int
    token: TokenAnswer
    against: TokenAnswer | None
    neurons: list[LargestNeuron]


@dataclass(frozen=True)
class VocabularyAnswer:
    """The first of the `total` tokens that are meant, best first."""

    tokens: list[TokenAnswer]
    total: int


# -- answered: trying --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SweepStart:
    """`event: start`. `clean` and `corrupted`: what is watched, in the two runs as they are. `n_pos`: positions of
    `corrupted`. `pairs` as they are used."""

    n_layer: int
    n_pos: int
    clean: Number
    corrupted: Number
    tokens: list[TokenAnswer]
    pairs: list[list[int]]


@dataclass(frozen=True)
class SweepRow:
    """`event: row`. What is watched, patched at this layer, by position of `corrupted`; None where nothing is
    patched."""

    layer: int
    values: list[Number]


@dataclass(frozen=True)
class SweepEnd:
    """`event: end`. Every row has been told."""

    n_layer: int


@dataclass(frozen=True)
class ComparedPair:
    """`cosine` of the residual stream at position `a` here and `b` there, by depth: before the blocks, then after
    each."""

    a: int
    b: int
    cosine: list[Number]


@dataclass(frozen=True)
class CompareAnswer:
    depths: list[str]
    pairs: list[ComparedPair]
