"""What travels while a model writes: settings, steps, chats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from cutaway.wire.structures.analyses import CandidateAnswer, DrawAnswer, KeptAnswer
from cutaway.wire.structures.traces import STRICT, InterventionSpec, TokenAnswer

# -- asked -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GenerateSettings:
    """As in `Model.generate`. `index`: the place of the first new token in the output, so that a text that was
    stopped goes on (same `seed`) as it would have. `n_ctx` makes the window smaller than the model's."""

    max_new_tokens: int = 20
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    lookup: int = 0
    n_ctx: int | None = None
    index: int = 0

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class GenerateRequest:
    """`text` or `ids`, one of the two, goes on. `stop`: strings before which the text is cut. `k`: candidates told of
    each step."""

    model: str
    text: str | None = None
    ids: list[int] | None = None
    interventions: list[InterventionSpec] = field(default_factory=list)
    settings: GenerateSettings = field(default_factory=GenerateSettings)
    stop: list[str] = field(default_factory=list)
    k: int = 10

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class ChatMessage:
    """`role`: system, user or assistant."""

    role: str
    content: str

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class ChatRequest:
    model: str
    messages: list[ChatMessage]

    __pydantic_config__: ClassVar[Any] = STRICT


# -- answered ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DraftAnswer:
    """What prompt lookup guessed in the pass of this step; so many of it, from the first, the draws confirmed."""

    tokens: list[TokenAnswer]
    accepted: int


@dataclass(frozen=True)
class DroppedAnswer:
    """The context was full: `tokens` left the front of the text, the `prefilled` others were read again."""

    tokens: int
    prefilled: int


@dataclass(frozen=True)
class CacheAnswer:
    """Of the pass that this token came from: positions whose keys and values were `held` (not computed again), those
    that it `computed`, and the bytes that the cache then took. `kept`: False where a change looks at the whole text,
    so that nothing may be cached."""

    held: int
    computed: int
    bytes: int
    kept: bool


@dataclass(frozen=True)
class GenerateStart:
    """`event: start`. `tokens`: what goes on; `n_ctx`: the window; `seed`: the one given, or taken."""

    tokens: list[TokenAnswer]
    n_ctx: int
    seed: int


@dataclass(frozen=True)
class StepAnswer:
    """`event: step`. `position`: where the token stands in the window that the model sees; `text`: what became
    certain with it; `candidates`, `kept`, `draw` as in NextAnswer; `finish`: eos, stop or length, on the last;
    `seconds`: of the pass that it came from (0 for the other tokens of a draft)."""

    index: int
    position: int
    token: TokenAnswer
    text: str
    candidates: list[CandidateAnswer]
    kept: KeptAnswer
    draw: DrawAnswer | None
    drafted: bool
    draft: DraftAnswer | None
    dropped: DroppedAnswer | None
    finish: str | None
    cache: CacheAnswer
    seconds: float


@dataclass(frozen=True)
class GenerateEnd:
    """`event: end`. `ids`: the whole text, with what it began with."""

    finish: str
    ids: list[int]


@dataclass(frozen=True)
class ChatAnswer:
    """The text that the model really gets: its own chat template, filled in, up to where its answer begins."""

    text: str
    tokens: list[TokenAnswer]
