"""Fewer numbers without a lie: in each bin the one real element with the largest |x|, and where it stands; never a
mean. And the range that a picture's colours need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cutaway.wire.structures import SiteRange

# So many elements of a site are gathered into bins at a time (16 MB and their copies).
ELEMENTS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Reduced:
    """`values` [..., bin] and `index` [..., bin] along the last axis; with two axes reduced, `values` [..., row,
    col] and `index` [..., row, col, 2]."""

    values: np.ndarray
    index: np.ndarray


def absmax(array: np.ndarray, bins: tuple[int, ...]) -> Reduced:
    """Cuts the last axis (or, with two numbers, the last two) into so many bins of equal width, to within one.

    In each: the finite element with the largest |x| (the first of equal ones; where none is finite, the first). An
    axis shorter than its bins is left whole.
    """
    if len(bins) == 1:
        reduced = _chunked(array[..., None, :], (1, bins[0]))
        return Reduced(reduced.values[..., 0, :], np.ascontiguousarray(reduced.index[..., 0, :, 1]))
    return _chunked(array, (bins[0], bins[1]))


def _chunked(array: np.ndarray, bins: tuple[int, int]) -> Reduced:
    lead, (n_rows, n_cols) = array.shape[:-2], array.shape[-2:]
    flat = array.reshape(math.prod(lead), n_rows, n_cols)  # -1 says nothing where an axis is empty
    step = max(1, ELEMENTS_AT_ONCE // max(1, n_rows * n_cols))
    parts = [_two(flat[at : at + step], bins) for at in range(0, max(1, len(flat)), step)]
    values = np.concatenate([each.values for each in parts])
    index = np.concatenate([each.index for each in parts])
    return Reduced(values.reshape(*lead, *values.shape[1:]), index.reshape(*lead, *index.shape[1:]))


def _two(array: np.ndarray, bins: tuple[int, int]) -> Reduced:  # [n, row, col]
    rows, cols = _members(array.shape[1], bins[0]), _members(array.shape[2], bins[1])
    n, (n_row, row_width), (n_col, col_width) = len(array), rows.shape, cols.shape
    if 0 in (n, n_row, n_col):
        return Reduced(np.zeros((n, n_row, n_col), np.float32), np.zeros((n, n_row, n_col, 2), np.int32))
    if row_width == col_width == 1:  # nothing to choose
        grid = np.stack(np.meshgrid(rows[:, 0], cols[:, 0], indexing="ij"), axis=-1).astype(np.int32)
        return Reduced(np.asarray(array, np.float32), np.broadcast_to(grid, (n, *grid.shape)))
    if rows.size == array.shape[1] and cols.size == array.shape[2]:  # equal widths: cut without a gather
        cells = array.reshape(n, n_row, row_width, n_col, col_width).swapaxes(2, 3)
        cells = cells.reshape(n, n_row, n_col, row_width * col_width)
    elif row_width == 1:
        cells = array[:, :, cols]  # [n, row, bin, col width]
    else:
        # [n, bin, bin, row width, col width]
        cells = array[:, rows[:, :, None, None], cols[None, None]].swapaxes(2, 3)
        cells = cells.reshape(n, n_row, n_col, row_width * col_width)
    size = np.abs(cells)
    if not np.isfinite(size).all():
        size = np.where(np.isfinite(size), size, np.float32(-1.0))
    best = size.argmax(axis=-1)
    values = np.take_along_axis(cells, best[..., None], axis=-1)[..., 0]
    at_row = rows[np.arange(n_row)[None, :, None], best // col_width]
    at_col = cols[np.arange(n_col)[None, None, :], best % col_width]
    return Reduced(values, np.stack([at_row, at_col], axis=-1).astype(np.int32))


def _members(length: int, bins: int) -> np.ndarray:  # -> [bin, width]
    """Which elements each bin holds; a shorter bin names its last again."""
    bins = min(bins, length)
    if bins == 0:
        return np.zeros((0, 1), dtype=np.intp)
    edges = np.arange(bins + 1) * length // bins
    size = np.diff(edges)
    return np.asarray(edges[:-1, None] + np.minimum(np.arange(size.max())[None, :], size[:, None] - 1))


def ranges_of(array: np.ndarray, position_axis: int, *, whole: bool = True) -> SiteRange:
    """The range of a site and its colour bound c: the median over positions of the 99th percentile of |x| there (over
    heads and features together, or over heads and keys)."""
    if array.size == 0:
        return SiteRange(None, None, None, None, whole)
    size = np.abs(np.moveaxis(array, position_axis, 0).reshape(array.shape[position_axis], -1))
    finite = np.isfinite(size)
    if not finite.any():
        return SiteRange(None, None, None, None, whole)
    if finite.all():
        rows = _percentile_99(size)
        low, high = array.min(), array.max()
    else:
        rows = np.array([_percentile_99(row[ok][None])[0] for row, ok in zip(size, finite, strict=True) if ok.any()])
        known = array[np.isfinite(array)]
        low, high = known.min(), known.max()
    return SiteRange(float(low), float(high), float(max(-low, high)), float(np.median(rows)), whole)


def _percentile_99(rows: np.ndarray) -> np.ndarray:  # [row, n] -> [row]
    """As `np.percentile(rows, 99, axis=1)`, which sorts around two places at once and takes nine times as long."""
    n = rows.shape[1]
    at = 0.99 * (n - 1)
    below = int(at)
    parted = np.partition(rows, below, axis=1)
    low = parted[:, below]
    high = parted[:, below + 1 :].min(axis=1) if below + 1 < n else low
    return np.asarray(low + np.float32(at - below) * (high - low))
