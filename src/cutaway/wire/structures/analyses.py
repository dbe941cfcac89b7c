"""What is answered about what comes next, what each part did, and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cutaway.wire.structures.traces import Number, TokenAnswer

# -- answered: what comes next -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CandidateAnswer:
    """A token through the stages. `probability`: softmax of the logits over the full vocabulary; `scaled`: after the
    repetition penalty and ÷ temperature; `final`: its chance in the draw, 0 when it was removed."""

    token: TokenAnswer
    rank: int
    logit: Number
    probability: float
    scaled: Number
    kept_top_k: bool
    kept_top_p: bool
    kept_min_p: bool
    final: float


@dataclass(frozen=True)
class KeptAnswer:
    """How many tokens are left after each filter."""

    top_k: int
    top_p: int
    min_p: int


@dataclass(frozen=True)
class CumulativeSlice:
    """A token's part of [0, 1): the random numbers from `low` to below `high` choose it."""

    token: TokenAnswer
    low: float
    high: float


@dataclass(frozen=True)
class DrawAnswer:
    """The random number, what it chose, and the row of tokens around it."""

    u: float
    token: TokenAnswer
    cumulative: list[CumulativeSlice]


@dataclass(frozen=True)
class NextAnswer:
    """The distribution after `position`. `chosen`: by the draw, or the likeliest where temperature is 0 (then `draw`
    is None). `log_sum_exp` of the plain logits: probability = exp(logit − log_sum_exp)."""

    position: int
    candidates: list[CandidateAnswer]
    kept: KeptAnswer
    n_vocab: int
    max_logit: Number
    log_sum_exp: Number
    chosen: TokenAnswer
    draw: DrawAnswer | None


@dataclass(frozen=True)
class SurpriseAnswer:
    """`losses[i]`: −log p of token i given those before it, in nats; the first has none."""

    losses: list[Number]
    perplexity: Number


# -- answered: what each part did --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LensToken:
    id: int
    logit: Number
    probability: float
    rank: int


@dataclass(frozen=True)
class LensTop:
    token: TokenAnswer
    probability: float
    logit: Number


@dataclass(frozen=True)
class LensDepth:
    name: str
    tokens: list[LensToken]
    top: list[LensTop]


@dataclass(frozen=True)
class LensAnswer:
    position: int
    depths: list[LensDepth]
    note: str


@dataclass(frozen=True)
class AttributionPart:
    """What one part added to the logit. `kind`: embed, pos_embed, head, attn_bias, mlp, norm_bias."""

    name: str
    kind: str
    block: int | None
    head: int | None
    value: Number


@dataclass(frozen=True)
class AttributionBlock:
    """What a block's attention (all heads and its bias) and MLP added."""

    block: int
    attn: Number
    mlp: Number


@dataclass(frozen=True)
class AttributionAnswer:
    """`logit` (or, with `against`, the difference of two) = the sum of `parts` + `remainder`."""

    token: TokenAnswer
    against: TokenAnswer | None
    position: int
    logit: Number
    parts: list[AttributionPart]
    blocks: list[AttributionBlock]
    remainder: Number
    note: str


@dataclass(frozen=True)
class NeuronPart:
    """`activation` × `per_activation` = `value`, what the neuron added to the logit."""

    neuron: int
    activation: Number
    per_activation: Number
    value: Number


@dataclass(frozen=True)
class NeuronsAnswer:
    """The strongest neurons of a block's MLP; with `others` and `bias` they come to `total`."""

    block: int
    token: TokenAnswer
    against: TokenAnswer | None
    position: int
    neurons: list[NeuronPart]
    others: Number
    bias: Number
    total: Number


@dataclass(frozen=True)
class HeadPart:
    """The key that a head attends to most; `first`: its weight on position 0."""

    block: int
    head: int
    key: int
    weight: float
    first: float


@dataclass(frozen=True)
class HeadsAnswer:
    position: int
    heads: list[HeadPart]


# -- answered: weights -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Neighbour:
    token: TokenAnswer
    cosine: float


@dataclass(frozen=True)
class NeighboursAnswer:
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class ParameterTableRow:
    part: str
    name: str
    meaning: str
    kind: str
    parameters: list[str]
    blocks: int
    per_block: int
    total: int
    share: float
    formula: str
    numbers: str
    shared: bool


@dataclass(frozen=True)
class LengthCost:
    n_tokens: int
    flops: int
    flops_per_token: int
    kv_cache_bytes: dict[str, int]


@dataclass(frozen=True)
class ParametersAnswer:
    """`cutaway.analysis.parameters`: what a model has learned, and where."""

    name: str
    note: str
    total: int
    per_head: int
    parts: dict[str, int]
    rows: list[ParameterTableRow]
    shape: dict[str, Any]
    bytes: dict[str, int]
    bytes_read_per_token: dict[str, int]
    lengths: list[LengthCost]
