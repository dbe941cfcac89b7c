"""What is asked; and what is answered about models, texts and traces."""

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
class TextSpec:
    """`text` or `ids`, one of the two."""

    text: str | None = None
    ids: list[int] | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class SourceSpec:
    """Another text's run of the same model, unchanged: `text` or `ids`, one of the two. `pos`: the position there
    that is taken, where it is not the one here."""

    text: str | None = None
    ids: list[int] | None = None
    pos: int | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class DirectionSpec:
    """The rows of the embedding table of `plus`, summed, less those of `minus`, times `scale`."""

    plus: list[int] = field(default_factory=list)
    minus: list[int] = field(default_factory=list)
    scale: float = 1.0

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class InterventionSpec:
    """A change at a site (name, alias or glob). `action`: zero, mean, scale, add, set, skip or patch. `selection`:
    axis -> index, list or slice. `value`: a number or nested lists, where the action needs one. `source`: what a
    patch is taken from. `direction`: what is added, in place of a value."""

    site: str
    action: str
    selection: dict[str, int | list[int] | SliceSpec] = field(default_factory=dict)
    value: Any = None
    source: SourceSpec | None = None
    direction: DirectionSpec | None = None

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class TokenizeRequest:
    """`at`: of one piece of the text, by its place; without it, of all of them."""

    model: str
    text: str
    at: int | None = None

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
    """`local`: the page is served to this machine alone, so that it may bring models and open paths."""

    default: str
    models: list[ModelEntry]
    local: bool = False


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
    """All pieces and words; where one piece was asked about, the word that holds it (none, where no word does) with
    its pieces. `first`: the place of the first of `tokens` in the text."""

    tokens: list[TokenAnswer]
    words: list[WordAnswer]
    first: int = 0


# -- answered: traces --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AppliedIntervention:
    """A change that acted on an explained number, bound to its site. `shape` of its value; None where it has none."""

    site: str
    action: str
    selection: dict[str, Any]
    shape: list[int] | None


@dataclass(frozen=True)
class ChangeAnswer:
    """A change as it was sent, its site's name spelled out (a glob stays one). `sites`: how many it acts at.
    `python`: a line that does the same to `model`."""

    site: str
    action: str
    selection: dict[str, int | list[int] | SliceSpec]
    value: Any
    source: SourceSpec | None
    direction: DirectionSpec | None
    sites: int
    python: str


@dataclass(frozen=True)
class Seconds:
    """How long the engine took to run the text (0 when the trace was still here)."""

    engine: float


@dataclass(frozen=True)
class Manifest:
    """A trace. `id` never changes its meaning; `shapes`: for each template ("blocks.{i}.attn.pattern") the length of
    every axis; `python`: a program that makes the same trace."""

    id: str
    model: str
    text: str
    tokens: list[TokenAnswer]
    start: int
    n_pos: int
    shapes: dict[str, list[int]]
    interventions: list[ChangeAnswer]
    python: str
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
