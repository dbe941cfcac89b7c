"""A stand-in for a model that writes a text known beforehand, and a decoder of known pieces: for what happens around
the numbers (stop strings, split characters, the end, the window), never for the numbers themselves."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

import numpy as np

from cutaway.config import ModelConfig
from cutaway.generation.kv_cache import KVCache
from tests.support.tiny import tiny_config


class Scripted:
    """Passes whose greedy continuation after a prompt of one token is `script`, by position."""

    needs_whole_run = False

    def __init__(self, script: Sequence[int], *, fail_at: int | None = None) -> None:
        self.config: ModelConfig = tiny_config("llama-gqa", n_ctx=256)
        self.script = list(script)
        self.fail_at = fail_at
        self.passes: list[list[int]] = []

    def forward(self, ids: Sequence[int], cache: KVCache | None) -> range:
        assert cache is not None
        start = cache.length
        for layer in range(self.config.n_layer):
            if len(self.passes) == self.fail_at and layer == 1:
                raise KeyboardInterrupt
            row = np.zeros((len(ids), 1, 1), dtype=np.float32)
            cache.memory(layer).extend(row, row)
        self.passes.append(list(ids))
        return range(start, start + len(ids))

    def logits(self, kept: range, rows: Sequence[int]) -> np.ndarray:
        logits = np.zeros((len(rows), self.config.n_vocab), dtype=np.float32)
        for at, row in enumerate(rows):
            if kept[row] < len(self.script):
                logits[at, self.script[kept[row]]] = 50.0
        return logits

    def trace(self, ids: Sequence[int], kept: range, row: int, cache: KVCache | None) -> Any:
        return tuple(ids), kept[row], None if cache is None else cache.length


class Pieces:
    """A `StreamDecoder` over pieces of bytes; id `i` is `pieces[i]`."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_id: int) -> str:
        return self._decoder.decode(self.pieces[token_id])

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)
