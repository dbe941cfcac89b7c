"""The neurons that fire most: the largest activations of `mlp.post` over all blocks at one position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cutaway.analysis.attribution import frozen_direction
from cutaway.trace.row import row_alone

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace


@dataclass(frozen=True)
class LargestNeuron:
    """`activation` (`mlp.post`) times `per_activation` (its row of W_out along the token's direction, the last norm's
    scale frozen as it was) is `value`, what it added to the logit."""

    layer: int
    neuron: int
    activation: float
    per_activation: float
    value: float


def largest_neurons(
    trace: Trace, token_id: int, *, k: int = 20, position: int = -1, against: int | None = None
) -> list[LargestNeuron]:
    """The `k` neurons with the largest |activation| at `position`, largest first, and what each wrote to the logit of
    `token_id` (with `against`, to its lead over that one's). Of equal ones the earlier comes first.

    Each block is run again once (of a long run: at that position alone). Raises `BadSelection` for a position outside
    the trace, `BadInput` for an id outside the vocabulary.
    """
    run, row = row_alone(trace, position)
    direction, _ = frozen_direction(run, token_id, row, against)
    config = trace.config
    fired = np.stack([run.read(f"blocks.{i}.mlp.post", pos=row) for i in range(config.n_layer)])  # [layer, d_mlp]
    order = np.argsort(-np.abs(fired), axis=None, kind="stable")[: max(0, k)]
    layers, neurons = np.unravel_index(order, fired.shape)
    per_activation = np.zeros(len(order), dtype=np.float32)
    for i in np.unique(layers):
        rows = trace.parameters[f"blocks.{i}.mlp.W_out"][neurons[layers == i]]  # [neuron, d_model]
        per_activation[layers == i] = rows @ direction
    return [
        LargestNeuron(int(i), int(n), float(fired[i, n]), float(per), float(fired[i, n] * per))
        for i, n, per in zip(layers, neurons, per_activation, strict=True)
    ]
