"""What a pass knows besides weights and values: positions, where texts begin and end, keys from before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.ops import attention, namespace_of, rope_angles
from cutaway.tap import Tap

Array = Any


class Memory(Protocol):
    """Keys and values of one block from earlier positions. Keys are remembered already rotated."""

    def extend(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Takes in the new rows [pos, kv_head, d_head] and gives all rows, old and new."""
        ...


@dataclass(frozen=True)
class Run:
    """One pass. `positions` [pos] counts each text from its own start; `segments` are the (start, stop) rows of
    each text of a packed batch (one text: a single segment); `cos`, `sin` [pos, d_head / 2] are RoPE's."""

    xp: Any
    positions: np.ndarray
    segments: tuple[tuple[int, int], ...]
    cos: Array
    sin: Array

    @classmethod
    def of(cls, config: ModelConfig, like: Array, lengths: Sequence[int], start: int = 0) -> Run:
        """For texts of these lengths, packed; `like` is an array of the namespace to compute in."""
        xp = namespace_of(like)
        positions = np.concatenate([np.arange(start, start + length) for length in lengths])
        ends = np.cumsum(lengths)
        segments = tuple((int(end) - length, int(end)) for end, length in zip(ends, lengths, strict=True))
        cos: Array = None
        sin: Array = None
        if config.traits.rotary:
            cos, sin = (xp.asarray(table) for table in rope_angles(config, positions))
        return cls(xp, positions, segments, cos, sin)

    def attend(
        self, q: Array, k: Array, v: Array, memory: Memory | None, tap: Tap, window: int | None = None
    ) -> Array:  # [pos, head, d_head] [pos, kv_head, d_head] [pos, kv_head, d_head] -> [pos, head, d_head]
        """Each text attends to itself alone (and to what `memory` holds of it)."""
        if memory is not None:
            k, v = memory.extend(k, v)
        if len(self.segments) == 1:
            return attention(q, k, v, window=window, tap=tap, xp=self.xp)
        parts = [attention(q[a:b], k[a:b], v[a:b], window=window, xp=self.xp) for a, b in self.segments]
        return self.xp.concat(parts, axis=0)
