"""A whole pass: embed, every block, and logits for the rows that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cutaway.config import ModelConfig
from cutaway.models import fused
from cutaway.models.registry import equations
from cutaway.models.run import Memory, Run
from cutaway.parameters import Parameters
from cutaway.tap import SILENT, Tap

Array = Any


class Cache(Protocol):
    """One `Memory` for each block."""

    @property
    def length(self) -> int: ...

    def memory(self, layer: int) -> Memory: ...


def forward(
    config: ModelConfig,
    w: Parameters,
    ids: Array,
    *,
    tap: Tap = SILENT,
    cache: Cache | None = None,
    lengths: Sequence[int] | None = None,
) -> Array:  # [pos] -> [pos, d_model]
    """What leaves the last block (`unembed` makes logits of it).

    `lengths`: the ids are several texts, packed one after another; each is computed as if it were alone. With a
    `cache`, ids are the positions that follow what it holds.
    """
    architecture = equations(config)
    start = cache.length if cache is not None else 0
    run = Run.of(config, w.stored("ln_final.w"), lengths or [len(ids)], start)
    x = architecture.embed(config, w, ids, run, tap)
    kept: Any = None
    for i in range(config.n_layer):
        here = tap.within(f"blocks.{i}.")
        x = here("resid_pre", x)
        memory = cache.memory(i) if cache is not None else None
        if kept is None and here.wants("resid_pre"):
            kept = fused.stream(config, x)
        x = block(config, w.block(i), x, run, here, memory, None if kept is None else kept[i])
    return x


def block(
    config: ModelConfig, w: Any, x: Array, run: Run, tap: Tap, memory: Memory | None, out: Array = None
) -> Array:  # [pos, d_model] -> [pos, d_model]
    """One block, in one native call where nobody acts inside it; `out` may take what leaves it."""
    whole = fused.block(config, w, x, run, tap, memory, out)
    return equations(config).block(config, w, x, run, tap, memory) if whole is None else whole


def unembed(config: ModelConfig, w: Parameters, x: Array, *, tap: Tap = SILENT) -> Array:
    """[pos, d_model] -> [pos, vocab]: the last norm and the logits of these rows."""
    run = Run.of(config, x, [x.shape[0]])
    return equations(config).unembed(config, w, x, run, tap)
