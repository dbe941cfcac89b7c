"""What travels: every request and response as a frozen dataclass, by the names that Python, the page and the docs
share.

The server's OpenAPI description and the page's TypeScript types are generated from these. A number that may be
infinite or missing is `float | None`: JSON has no infinity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

# Read by pydantic where it is installed: unknown keys are refused and nothing is coerced ("3" is not 3).
STRICT: Any = {"extra": "forbid", "strict": True}

Number = float | None


# -- asked -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SliceSpec:
    """A range of indices, as in Python: `start` included, `stop` not."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class InterventionSpec:
    """A change at a site (name, alias or glob). `action`: zero, mean, scale, add or set. `selection`: axis -> index,
    list or slice. `value`: a number or nested lists, where the action needs one."""

    site: str
    action: str
    selection: dict[str, int | list[int] | SliceSpec] = field(default_factory=dict)
    value: Any = None

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class TokenizeRequest:
    model: str
    text: str

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class TraceRequest:
    """`text` or `ids`, one of the two. `client` and `seq`: the newest keystroke of a client wins, and work for an
    older `seq` of the same `client` is dropped (409)."""

    model: str
    text: str | None = None
    ids: list[int] | None = None
    interventions: list[InterventionSpec] = field(default_factory=list)
    client: str | None = None
    seq: int | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


# -- answered: errors and models ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorBody:
    """`kind`: the class of `cutaway.errors` (or of the server's refusals); `message`: one sentence."""

    kind: str
    message: str


@dataclass(frozen=True)
class ErrorAnswer:
    error: ErrorBody


@dataclass(frozen=True)
class Health:
    version: str
    models_loaded: list[str]


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be named. `here`: on this machine, so that it opens at once."""

    name: str
    title: str
    here: bool
    bytes: int | None
    n_params: int | None
    licence: str
    architecture: str
    gated: bool
    note: str


@dataclass(frozen=True)
class ModelList:
    default: str
    models: list[ModelEntry]


@dataclass(frozen=True)
class InputRow:
    """One declared input of a site. `index`: for each of its own axes, which axis of the output it is cut along ("*":
    all of it). `kind`: site, parameter or constant."""

    name: str
    index: list[str]
    kind: str


@dataclass(frozen=True)
class SiteRow:
    """A declared site. `first_inputs`: those in block 0, where they differ."""

    template: str
    axes: list[str]
    inputs: list[InputRow]
    first_inputs: list[InputRow] | None
    latex: str
    meaning: str
    source: str


@dataclass(frozen=True)
class ParameterRow:
    template: str
    axes: list[str]
    shape: list[int]
    meaning: str


@dataclass(frozen=True)
class ConfigAnswer:
    """`cutaway.config.ModelConfig`."""

    architecture: str
    n_layer: int
    n_head: int
    n_kv_head: int
    n_ctx: int
    n_vocab: int
    d_model: int
    d_head: int
    d_mlp: int
    activation: str
    norm_eps: float
    tied: bool
    bias: bool
    rope_base: float
    rope_scaling: dict[str, Any] | None
    sliding_window: int | None
    name: str


@dataclass(frozen=True)
class TraitsAnswer:
    """`cutaway.config.Traits`: what every model of the architecture has."""

    norm: str
    rotary: bool
    gated: bool
    qkv_bias: bool
    out_bias: bool
    qk_norm: bool
    windowed: bool
    paper: str


@dataclass(frozen=True)
class ModelAnswer:
    """`max_tokens`: the most that this server takes in one text."""

    name: str
    config: ConfigAnswer
    traits: TraitsAnswer
    n_params: int
    max_tokens: int
    has_tokenizer: bool
    has_chat_template: bool
    sites: list[SiteRow]
    parameters: list[ParameterRow]
    axes: dict[str, str]


# -- answered: text ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenAnswer:
    """`display` has its white space made visible; `bytes` in hexadecimal."""

    id: int
    text: str
    display: str
    bytes: str
    special: bool


@dataclass(frozen=True)
class MergeAnswer:
    """`left` and `right` became `result`; lower `rank` goes first; `at`: the place in `start` where `left` begins."""

    left: TokenAnswer
    right: TokenAnswer
    result: TokenAnswer
    rank: int
    at: int


@dataclass(frozen=True)
class WordAnswer:
    """`whole`: found in the vocabulary as it is, so there are no merges."""

    text: str
    start: list[TokenAnswer]
    merges: list[MergeAnswer]
    tokens: list[int]
    whole: bool


@dataclass(frozen=True)
class TokenizeAnswer:
    tokens: list[TokenAnswer]
    words: list[WordAnswer]


# -- answered: traces --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AppliedIntervention:
    """A change that acts in a trace, bound to its site. `shape` of its value; None where it has none."""

    site: str
    action: str
    selection: dict[str, Any]
    shape: list[int] | None


@dataclass(frozen=True)
class Seconds:
    """How long the engine took to run the text (0 when the trace was still here)."""

    engine: float


@dataclass(frozen=True)
class Manifest:
    """A trace. `id` never changes its meaning; `shapes`: for each template ("blocks.{i}.attn.pattern") the length of
    every axis."""

    id: str
    model: str
    text: str
    tokens: list[TokenAnswer]
    start: int
    n_pos: int
    shapes: dict[str, list[int]]
    interventions: list[AppliedIntervention]
    seconds: Seconds


@dataclass(frozen=True)
class SiteRange:
    """Over the finite values of a site: `c` is the median over positions of the 99th percentile of |x| at a
    position, to which the colour scale is linear. `whole` is False where the site is so large that only the read
    part was looked at. All None where nothing is finite."""

    min: Number
    max: Number
    absmax: Number
    c: Number
    whole: bool = True


@dataclass(frozen=True)
class SourceAnswer:
    """An input of an explained number: `values` (flat, row-major, of `shape`) stand at `index[axis][i]`."""

    name: str
    kind: str
    axes: list[str]
    index: list[list[int]]
    shape: list[int]
    values: list[Number]


@dataclass(frozen=True)
class ExplainAnswer:
    """Where a number came from. `result`: the formula applied to `inputs` again; it equals `value` unless
    `changed_by` says that somebody intervened here."""

    site: str
    axes: list[str]
    index: list[int]
    value: Number
    result: Number
    latex: str
    meaning: str
    source: str
    changed_by: list[AppliedIntervention]
    inputs: list[SourceAnswer]


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
