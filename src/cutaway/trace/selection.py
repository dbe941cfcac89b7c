"""Which part of a site: axes by name, indices as people write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def by_axis(site: Site, selection: Mapping[str, Index]) -> dict[str, Index]:
    """`selection` by the site's own axes. Raises `BadSelection` for an axis that is not there, or said twice."""
    named: dict[str, Index] = {}
    for name, index in selection.items():
        axis = axis_of(site, name)
        if axis in named:
            raise BadSelection(
                f"the axis {axis} of {site.name} is selected twice ({', '.join(selection)}); say it once."
            )
        named[axis] = index
    return named


def whole_numbers(index: Index, axis: str, where: str) -> slice | np.ndarray:
    """`index` as a slice or an array of whole numbers. Raises `BadSelection` for anything else."""
    if isinstance(index, slice):
        bounds = (index.start, index.stop, index.step)
        if index.step != 0 and all(each is None or _whole(each) for each in bounds):
            return index
    else:
        try:
            picked = np.atleast_1d(np.asarray(index))
        except ValueError:  # a ragged list
            picked = np.zeros((0, 0))
        if picked.ndim == 1 and (picked.dtype.kind in "iu" or picked.size == 0):
            return picked.astype(np.int64)  # a uint8 could not be added to a length of 400
    raise BadSelection(f"{axis}={index!r} for {where}: expected a whole number, a slice or a list of numbers.")


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def pick(index: Index, length: int, axis: str, where: str) -> np.ndarray:
    """`index` as an array of whole numbers from 0 to length - 1. Raises `BadSelection` when one is outside."""
    picked = whole_numbers(index, axis, where)
    if isinstance(picked, slice):
        return np.arange(length)[picked]
    outside = picked[(picked < -length) | (picked >= length)]
    if outside.size:
        raise BadSelection(f"{axis}={int(outside[0])} is outside {where}, whose {axis} axis has {length} entries.")
    return np.where(picked < 0, picked + length, picked)


def pick_axes(
    site: Site, selection: Mapping[str, Index], sizes: Mapping[str, int]
) -> tuple[tuple[Picked, ...], tuple[int, ...]]:
    """For each axis of `site` the picked indices, and the axes that a single number selects (to be dropped)."""
    selected = by_axis(site, selection)
    picked: list[Picked] = []
    dropped = []
    for at, axis in enumerate(site.axes):
        if axis not in selected:
            picked.append(None)
            continue
        index = selected[axis]
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


def counts_from_end(index: Index) -> bool:
    """Whether what `index` means depends on the length of the axis."""
    if isinstance(index, slice):
        return any(bound is not None and bound < 0 for bound in (index.start, index.stop, index.step))
    return bool((np.asarray(index) < 0).any())


def where(here: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which entries of `here` (positions, in any order) are among `chosen`, and which ones of `chosen` they are."""
    if not len(chosen):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    order = np.argsort(chosen, kind="stable")
    last = np.searchsorted(chosen[order], here, side="right") - 1  # of equal ones the last, as in an assignment
    entries = order[np.maximum(last, 0)]
    rows = np.flatnonzero((last >= 0) & (chosen[entries] == here))
    return rows, entries[rows]


def index_to_json(index: Index) -> Any:
    """Whole numbers and lists as they are, a slice as {"start", "stop", "step"}."""
    if isinstance(index, slice):
        bounds = {"start": index.start, "stop": index.stop, "step": index.step}
        return {name: None if bound is None else int(bound) for name, bound in bounds.items()}
    return np.asarray(index).tolist()


def index_of_json(index: Any) -> Index:
    """What `index_to_json` gave. Raises `BadSelection`."""
    if isinstance(index, dict) and not set(index) - {"start", "stop", "step"}:
        return slice(index.get("start"), index.get("stop"), index.get("step"))
    if isinstance(index, bool) or not (
        isinstance(index, int) or (isinstance(index, list) and all(type(i) is int for i in index))
    ):
        raise BadSelection(f"{index!r} is not an index; expected a whole number, a list of them or a slice.")
    return index
