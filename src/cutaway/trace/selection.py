"""Which part of a site: axes by name, indices as people write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cutaway.errors import BadSelection, did_you_mean
from cutaway.sites import FEATURE_AXES, Site

Index = int | slice | Sequence[int] | np.ndarray
Picked = np.ndarray | None  # the indices along one axis; None for all of them


def axis_of(site: Site, name: str) -> str:
    """The axis of `site` that `name` means: itself, `feature` for the last one, `pos` for `q_pos`.

    Raises `BadSelection` with the axes that there are.
    """
    if name in site.axes:
        return name
    if name == "feature" and site.feature in FEATURE_AXES:
        return site.feature
    if name == "pos" and "q_pos" in site.axes:
        return "q_pos"
    raise BadSelection(
        f'{site.name} has no axis "{name}"{did_you_mean(name, site.axes) or "."} Its axes are {", ".join(site.axes)}.'
    )


def pick(index: Index, length: int, axis: str, where: str) -> np.ndarray:
    """`index` as an array of whole numbers from 0 to length - 1. Raises `BadSelection` when one is outside."""
    if isinstance(index, slice):
        return np.arange(length)[index]
    picked = np.atleast_1d(np.asarray(index))
    if picked.dtype.kind not in "iu" or picked.ndim != 1:
        raise BadSelection(f"{axis}={index!r} for {where}: expected a whole number, a slice or a list of numbers.")
    outside = picked[(picked < -length) | (picked >= length)]
    if outside.size:
        raise BadSelection(f"{axis}={int(outside[0])} is outside {where}, whose {axis} axis has {length} entries.")
    return np.where(picked < 0, picked + length, picked)


def pick_axes(
    site: Site, selection: Mapping[str, Index], sizes: Mapping[str, int]
) -> tuple[tuple[Picked, ...], tuple[int, ...]]:
    """For each axis of `site` the picked indices, and the axes that a single number selects (to be dropped)."""
    by_axis = {axis_of(site, name): index for name, index in selection.items()}
    picked: list[Picked] = []
    dropped = []
    for at, axis in enumerate(site.axes):
        if axis not in by_axis:
            picked.append(None)
            continue
        index = by_axis[axis]
        picked.append(pick(index, sizes[axis], axis, site.name))
        if isinstance(index, int | np.integer):
            dropped.append(at)
    return tuple(picked), tuple(dropped)


def take(array: np.ndarray, picked: Sequence[Picked]) -> np.ndarray:
    """`array` at the picked indices of each axis; a view where nothing or one contiguous run is picked."""
    for axis, indices in enumerate(picked):
        if indices is None:
            continue
        first, count = (int(indices[0]), len(indices)) if len(indices) else (0, 0)
        if count == 0 or (indices == np.arange(first, first + count)).all():
            array = array[(slice(None),) * axis + (slice(first, first + count),)]
        else:
            array = np.take(array, indices, axis=axis)
    return array
