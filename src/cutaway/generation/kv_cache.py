"""Keys and values of the positions already read, so that a new position costs one row and not the whole text.

Per block two arrays, [pos, kv_head, d_head]; keys are remembered already rotated. The rows live in buffers with room
to spare: a new row is written behind the old ones, and only when the room is used up are they copied to a buffer
twice as long (memory nobody has written to costs nothing until it is). A row that was handed out by `past` or
`prefix` never changes: whoever would have to write over it gets a buffer of its own first.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cutaway.errors import BadSelection
from cutaway.kernels import room
from cutaway.models.run import Memory
from cutaway.ops import namespace_of

Array = Any

SMALLEST = 64  # rows of a first buffer
EVERY_ROW = sys.maxsize


class KVCache:
    """A `models.forward.Cache`: one growing memory for each block.

    A pass extends it block by block, and `length` moves when the last block is done: a pass that fails on the way
    leaves the cache as it was, and the next one writes over what it left.
    """

    def __init__(self, n_layer: int) -> None:
        self._k: list[Array] = [None] * n_layer
        self._v: list[Array] = [None] * n_layer
        self._rows = [0] * n_layer
        # Rows below this were handed out, from this very buffer, and must stay as they are.
        self._promised = [0] * n_layer

    @property
    def length(self) -> int:
        """How many positions every block remembers."""
        return min(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the remembered rows (the buffers have room for up to twice as many)."""
        n = self.length
        return sum(int(array[:n].nbytes) for array in (*self._k, *self._v) if array is not None)

    def memory(self, layer: int) -> Memory:
        """What block `layer` extends during a pass."""
        return _Growing(self, layer)

    def truncate(self, n: int) -> None:
        """Forgets the rows from `n` on (rejected drafts). Raises `BadSelection` when there are not so many."""
        self._require(n)
        self._rows = [n] * len(self._rows)

    def past(self, layer: int, n: int) -> tuple[Array, Array]:
        """The first `n` rows of a block, [n, kv_head, d_head] each, read-only and the same for ever."""
        self._require(n)
        if self._k[layer] is None:
            raise BadSelection("the cache is empty, so it cannot give rows; run a pass with it first.")
        self._promised[layer] = max(self._promised[layer], n)
        return _read_only(self._k[layer][:n]), _read_only(self._v[layer][:n])

    def prefix(self, n: int) -> KVCache:
        """The cache as it was when it held `n` rows; shares them, and neither ever changes the other."""
        self._require(n)
        earlier = KVCache(len(self._rows))
        earlier._k, earlier._v = list(self._k), list(self._v)
        earlier._rows = [n] * len(self._rows)
        earlier._promised = [EVERY_ROW] * len(self._rows)  # it has borrowed its buffers: never write in place
        self._promised = [max(promised, n) for promised in self._promised]
        return earlier

    def _require(self, n: int) -> None:
        if not 0 <= n <= self.length:
            raise BadSelection(f"the cache holds {self.length} positions, so it cannot give the first {n}.")

    def _extend(self, layer: int, k: Array, v: Array) -> tuple[Array, Array]:
        # Within a pass this stays where it was until the last block has written, so every block writes to
        # the same place, and over what a pass that failed has left behind.
        start = self.length
        stop = start + k.shape[0]
        if isinstance(k, np.ndarray):
            self._make_room(layer, start, stop, k.shape[1:], k.dtype)
            self._k[layer][start:stop] = k
            self._v[layer][start:stop] = v
        else:  # arrays of other libraries are never written to, only joined
            self._k[layer] = _join(self._k[layer], start, k)
            self._v[layer] = _join(self._v[layer], start, v)
        self._rows[layer] = stop
        return _read_only(self._k[layer][:stop]), _read_only(self._v[layer][:stop])

    def _room(self, layer: int, n: int, shape: tuple[int, int]) -> tuple[int, Array, Array]:
        start = self.length
        self._make_room(layer, start, start + n, shape, np.dtype(np.float32))
        self._rows[layer] = start + n
        return start, self._k[layer][: start + n], self._v[layer][: start + n]

    def _make_room(self, layer: int, start: int, stop: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        old_k, old_v = self._k[layer], self._v[layer]
        if old_k is not None and old_k.shape[0] >= stop and start >= self._promised[layer]:
            return
        capacity = max(SMALLEST, 2 * stop)
        new_k, new_v = (_empty((capacity, *shape), dtype) for _ in range(2))
        if start:
            new_k[:start] = old_k[:start]
            new_v[:start] = old_v[:start]
        self._k[layer], self._v[layer] = new_k, new_v
        self._promised[layer] = 0  # views of the old buffer keep it alive; nobody has seen this one


class _Growing:
    """One block's `Memory`, kept."""

    def __init__(self, cache: KVCache, layer: int) -> None:
        self._cache = cache
        self._layer = layer

    def extend(self, k: Array, v: Array) -> tuple[Array, Array]:
        return self._cache._extend(self._layer, k, v)

    def room(self, n: int, shape: tuple[int, int]) -> tuple[int, Array, Array]:
        """Where the next `n` rows go: the place, and keys and values [place + n, kv_head, d_head], to be filled."""
        return self._cache._room(self._layer, n, shape)


def _join(old: Array | None, n: int, new: Array) -> Array:  # [>= n, kv_head, d_head] [pos, ...] -> [n + pos, ...]
    if old is None or n == 0:
        return new
    return namespace_of(new).concat([old[:n], new], axis=0)


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return room.empty(shape) if dtype == np.float32 else np.empty(shape, dtype)


def _read_only(view: Array) -> Array:
    if isinstance(view, np.ndarray):
        view.flags.writeable = False
    return view
