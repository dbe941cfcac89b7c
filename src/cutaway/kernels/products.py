"""Weights as the file packs them, and products on them: y = x Wᵀ, activations and sums in float32.

A `Table` is rows of packed weights, [n_out, n_in]; `table[ids]` decodes some of them, `table.T` is the `Matrix`
[n_in, n_out] that equations multiply with: `x @ W`. Nothing is unpacked but a few rows at a time, in the cache.

Twin: `x @ dequantize(rows).T`. The kernel adds up along k in sixteen lanes and then by a fixed tree
(native/simd.hpp), so that an output depends on its row of x and its row of weights alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cutaway.kernels import native, room
from cutaway.kernels.quants import FORMATS, dequantize

Array = Any
_ORDER = {name: i for i, name in enumerate(FORMATS)}
_PLAIN = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}


class Table:
    """Packed rows, [n_out, n_in]. `rows`: uint8 [n_out, bytes of a row]; `dtype`: "Q4_1", "F32", …"""

    __array_ufunc__ = None  # no arithmetic but products

    def __init__(self, rows: np.ndarray, dtype: str) -> None:
        form = FORMATS[dtype]
        rows = np.ascontiguousarray(rows)
        if dtype in ("F32", "F16", "BF16") and rows.ctypes.data % (form.n_bytes):
            rows = rows.copy()  # old safetensors files may lie unaligned
        self.rows = rows
        self.dtype = dtype
        self.shape = (rows.shape[0], rows.shape[1] // form.n_bytes * form.weights)
        self._held: Any = None
        if native.MODULE is not None:
            self._held = native.MODULE.Matrix(rows, _ORDER[dtype], self.shape[1], form.weights, form.n_bytes)

    @classmethod
    def of(cls, array: np.ndarray) -> Table:
        """Rows of plain float32 numbers, [n_out, n_in]; a copy only where they do not lie in a row already."""
        array = np.ascontiguousarray(array, dtype=np.float32)
        return cls(array.view(np.uint8).reshape(array.shape[0], -1), "F32")

    @property
    def T(self) -> Matrix:
        return Matrix(self)

    @property
    def nbytes(self) -> int:
        return int(self.rows.nbytes)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, ids: Array) -> np.ndarray:  # [pos] -> [pos, n_in]
        """Some rows, decoded."""
        if self._held is None:
            return dequantize(self.rows[ids], self.dtype)
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        out = np.empty((len(ids), self.shape[1]), np.float32)
        native.MODULE.rows(self._held, ids, out)
        return out

    def float32(self) -> np.ndarray:  # [n_out, n_in]
        """All of it, decoded."""
        if self.dtype == "F32":
            return self.rows.view(np.float32)
        return self[np.arange(len(self))]


class Matrix:
    """What a product takes: `x @ W`, [pos, n_in] [n_in, n_out] -> [pos, n_out]."""

    __array_ufunc__ = None  # NumPy leaves `x @ W` to us
    __slots__ = ("_held", "shape", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.shape = (table.shape[1], table.shape[0])
        self._held = table._held

    @property
    def T(self) -> Table:
        return self.table

    def __rmatmul__(self, x: np.ndarray) -> np.ndarray:
        return product(x, self)

    def float32(self) -> np.ndarray:  # [n_in, n_out]
        return self.table.float32().T


def product(x: np.ndarray, W: Matrix, b: np.ndarray | None = None) -> np.ndarray:
    """x W + b: [pos, n_in] [n_in, n_out] [n_out] -> [pos, n_out]."""
    y: np.ndarray
    if W._held is None:
        y = x @ W.float32()
        return y if b is None else y + b
    shape = (x.shape[0], W.shape[1])
    y = np.empty(shape, np.float32) if 4 * shape[0] * shape[1] < room.LARGE else room.empty(shape)
    native.MODULE.product(_rows(x), W._held, b, y)
    return y


def _rows(x: np.ndarray) -> np.ndarray:
    return x if x.flags.c_contiguous and x.dtype == np.float32 else np.ascontiguousarray(x, dtype=np.float32)
