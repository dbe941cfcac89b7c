"""Weights as safetensors: whole or a slice by axis names, in their public shapes ([head, d_model, d_head])."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from cutaway.errors import BadSelection, UnknownSite, did_you_mean
from cutaway.framing import pack
from cutaway.parameters import Parameters
from cutaway.trace.selection import Index, pick, take
from cutaway.wire.frames import MOST_BYTES, own_index
from cutaway.wire.reduction import absmax


def parameter_frame(
    parameters: Parameters, name: str, selection: Mapping[str, Index], bins: tuple[int, ...] = ()
) -> bytes:
    """One tensor, every axis kept (and `name#index` when reduced). Metadata, as JSON: `shapes`, `axes`.

    Raises `UnknownSite` where the model has no such parameter; `BadSelection` for an axis it lacks, an index outside,
    or a part that is too large.
    """
    if name not in parameters:
        raise UnknownSite(
            f'there is no parameter "{name[:80]}" in this model{did_you_mean(name[:80], parameters) or "."}'
        )
    axes = ("d_model", "vocab") if name == "W_U" else parameters.declared[name].axes
    unknown = next((axis for axis in selection if axis not in axes), None)
    if unknown is not None:
        raise BadSelection(f'{name} has no axis "{unknown}"; its axes are {", ".join(axes)}.')
    array = parameters[name]
    shape = array.shape
    picked = [
        pick(selection[axis], n, axis, name) if axis in selection else None
        for axis, n in zip(axes, shape, strict=True)
    ]
    n_read = math.prod(n if cut is None else len(cut) for n, cut in zip(shape, picked, strict=True))
    if 4 * n_read > MOST_BYTES:
        raise BadSelection(
            f"{name} as asked for is {4 * n_read / 2**20:,.0f} MB; {MOST_BYTES >> 20} MB is the most, so slice it"
            f" along {', '.join(axes)}."
        )
    part = np.asarray(take(array, picked), dtype=np.float32)
    metadata = {"shapes": json.dumps({name: shape}), "axes": json.dumps({name: axes})}
    if not bins:
        return pack({name: part}, metadata)
    if len(bins) > part.ndim:
        raise BadSelection(f"{name} has a single axis; give one number of bins.")
    own = [np.arange(n) if cut is None else cut for n, cut in zip(part.shape, picked, strict=True)]
    reduced = absmax(part, bins)
    return pack({name: reduced.values, f"{name}#index": own_index(reduced, own, bins)}, metadata)
