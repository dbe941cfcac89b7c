"""Answers about what models cost: where their numbers live, FLOPs, bytes, caches, and how patterns grow."""

from __future__ import annotations

from collections.abc import Sequence

from cutaway.analysis.parameters import ParameterTable, count, model_shape
from cutaway.analysis.presets import Partial
from cutaway.config import ModelConfig
from cutaway.wire import structures as s

BESIDE = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3")
STORED_AS = ("F32", "F16", "Q8_0", "Q4_1")
CACHED_AS = ("F32", "F16")
FLOAT32 = 4

NOTE = (
    "FLOPs are those of the matrix products, two for each multiplication with its addition, every query with every"
    " key; a pass makes logits at every position. One more token reads every matrix once, one row of a table that is"
    " only looked up, and the cache in float32. Weights in blocks (Q8_0, Q4_1): matrices alone, the rest stays F32."
)


def costs_answer(
    config: ModelConfig, lengths: Sequence[int], *, name: str, file_bytes: int | None = None
) -> s.CostsAnswer:
    """The model's costs and, beside them, those of shapes that people know. Raises `BadInput` for a length of 0."""
    beside = [_costs(count(model_shape(each)), each, lengths, None) for each in BESIDE]
    return s.CostsAnswer(_costs(count(config), name, lengths, file_bytes), beside, NOTE)


def _costs(table: ParameterTable, name: str, lengths: Sequence[int], file_bytes: int | None) -> s.ModelCosts:
    config = table.shape.config if isinstance(table.shape, Partial) else table.shape
    assert isinstance(config, ModelConfig)
    return s.ModelCosts(
        name=name,
        note=table.note,
        total=table.total,
        parts=table.parts,
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_kv_head=config.n_kv_head,
        n_ctx=config.n_ctx,
        n_vocab=config.n_vocab,
        d_model=config.d_model,
        bytes={dtype: table.bytes(dtype) for dtype in STORED_AS},
        file_bytes=file_bytes,
        kv_bytes_per_token=table.kv_cache_bytes(1),
        lengths=[_at(table, config, n) for n in lengths],
    )


def _at(table: ParameterTable, config: ModelConfig, n: int) -> s.LengthCosts:
    return s.LengthCosts(
        n_tokens=n,
        fits=n <= config.n_ctx,
        flops=table.flops(n),
        flops_by_part=table.flops_by_part(n),
        flops_per_token=table.flops_per_token(n),
        bytes_read_per_token={dtype: table.bytes_read_per_token(dtype, n_context=n - 1) for dtype in STORED_AS},
        kv_cache_bytes={dtype: table.kv_cache_bytes(n, dtype) for dtype in CACHED_AS},
        pattern_numbers=n * n,
        scores_bytes=config.n_layer * config.n_head * n * n * FLOAT32,
    )
