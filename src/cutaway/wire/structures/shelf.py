"""What travels about models as things that one has: bringing them, opening them, what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cutaway.wire.structures.traces import STRICT

# -- asked -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PullRequest:
    """`name`: a catalog name or a hub name (owner/name)."""

    name: str

    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True)
class OpenRequest:
    """`path`: a .gguf file or a folder on this machine."""

    path: str

    __pydantic_config__: ClassVar[Any] = STRICT


# -- answered ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PullProgress:
    """`event: progress`. `what` is being done; `bytes` of `total` of it (None where that is not known)."""

    what: str
    bytes: int
    total: int | None


@dataclass(frozen=True)
class PullEnd:
    """`event: end`. The model is on this machine and can be asked for by `name`."""

    name: str


@dataclass(frozen=True)
class LengthCosts:
    """At one length. `fits`: within the model's context. `flops`: of a pass over the text; `flops_per_token`: of one
    more token with a cache. `bytes_read_per_token`: weights and cache that it must read, by the type the weights are
    stored as (the cache is F32). `pattern_numbers`: of one head; `scores_bytes`: of all heads' in F32, were they all
    kept at once."""

    n_tokens: int
    fits: bool
    flops: int
    flops_by_part: dict[str, int]
    flops_per_token: int
    bytes_read_per_token: dict[str, int]
    kv_cache_bytes: dict[str, int]
    pattern_numbers: int
    scores_bytes: int


@dataclass(frozen=True)
class ModelCosts:
    """One model, or one shape that people know. `parts`: parameters by where they live; `bytes`: of the weights, by
    the type they are stored as; `kv_bytes_per_token`: of the cache, F32. `file_bytes`: of this very model's file or
    folder, where there is one."""

    name: str
    note: str
    total: int
    parts: dict[str, int]
    n_layer: int
    n_head: int
    n_kv_head: int
    n_ctx: int
    n_vocab: int
    d_model: int
    bytes: dict[str, int]
    file_bytes: int | None
    kv_bytes_per_token: int
    lengths: list[LengthCosts]


@dataclass(frozen=True)
class CostsAnswer:
    """The model and, `beside` it, GPT-2's four sizes and GPT-3, all at the same lengths. `note`: how it counts."""

    model: ModelCosts
    beside: list[ModelCosts]
    note: str
