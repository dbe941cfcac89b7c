"""Two texts, position by position: how alike their residual streams are, depth by depth.

One token in two contexts starts from one embedding; the cosine of the two vectors says how far the blocks have taken
them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cutaway.analysis.logit_lens import stages
from cutaway.errors import BadInput
from cutaway.trace.selection import pick

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace


@dataclass(frozen=True)
class Cosines:
    """`cosine` [pair, depth]; NaN where a vector is zero. `depths` names them: what enters block 0, then what leaves
    each block. `pairs`: (position in one, position in the other), both from 0."""

    depths: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    cosine: np.ndarray


def cosines(one: Trace, other: Trace, pairs: Sequence[tuple[int, int]] | None = None) -> Cosines:
    """The cosine between the residual streams of two traces. Without `pairs`, each position that both have.

    Raises `BadInput` for models whose streams cannot be compared, `BadSelection` for a position outside.
    """
    shapes = [(each.config.n_layer, each.config.d_model) for each in (one, other)]
    if shapes[0] != shapes[1]:
        raise BadInput(
            f"the two traces are of models with {shapes[0][0]} and {shapes[1][0]} blocks of {shapes[0][1]} and"
            f" {shapes[1][1]} features; cosines need the same of both."
        )
    if pairs is None:
        pairs = [(i, i) for i in range(min(len(one), len(other)))]
    here = pick([a for a, _ in pairs], len(one), "pos", "the first trace")
    there = pick([b for _, b in pairs], len(other), "pos", "the second trace")
    depths = stages(one)
    found = np.empty((len(pairs), len(depths)), dtype=np.float32)
    for at, name in enumerate(depths):
        found[:, at] = _cosine(one[name][here], other[name][there])
    return Cosines(depths, tuple((int(a), int(b)) for a, b in zip(here, there, strict=True)), found)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # [pair, d_model] twice -> [pair]
    # each is brought near size 1 first: the square of a large number would leave float32
    a, b = (x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-30)) for x in (a, b))
    products = np.einsum("pd,pd->p", a, b)
    sizes = np.sqrt(np.einsum("pd,pd->p", a, a)) * np.sqrt(np.einsum("pd,pd->p", b, b))
    found = np.where(sizes > 0, products / np.where(sizes > 0, sizes, np.float32(1)), np.float32(math.nan))
    return np.asarray(np.clip(found, -1, 1))
