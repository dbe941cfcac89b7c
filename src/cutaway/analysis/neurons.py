"""The largest neurons of all blocks at one position: those that fire most, or those that wrote most to a logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    trace: Trace,
    token_id: int,
    *,
    k: int = 20,
    position: int = -1,
    against: int | None = None,
    by: Literal["activation", "value"] = "activation",
) -> list[LargestNeuron]:
    """The `k` neurons with the largest |activation| at `position`, or (`by="value"`) those that wrote most to the
    logit of `token_id`, up or down; largest first, and what each wrote (with `against`, to its lead over that one's).
    Of equal ones the earlier comes first.

    Each block is run again once (of a long run: at that position alone); `by="value"` reads every block's W_out.
    Raises `BadSelection` for a position outside the trace, `BadInput` for an id outside the vocabulary.
    """
    run, row = row_alone(trace, position)
    direction, _ = frozen_direction(run, token_id, row, against)
    config = trace.config
    fired = np.stack([run.read(f"blocks.{i}.mlp.post", pos=row) for i in range(config.n_layer)])  # [layer, d_mlp]
    per_activation = np.zeros_like(fired)  # [layer, d_mlp]
    if by == "value":
        for i in range(config.n_layer):
            per_activation[i] = trace.parameters[f"blocks.{i}.mlp.W_out"] @ direction
    size = np.abs(fired if by == "activation" else fired * per_activation)
    order = np.argsort(-size, axis=None, kind="stable")[: max(0, k)]
    layers, neurons = np.unravel_index(order, fired.shape)
    if by == "activation":  # the rows of those alone
        for i in np.unique(layers):
            chosen = neurons[layers == i]
            per_activation[i, chosen] = trace.parameters[f"blocks.{i}.mlp.W_out"][chosen] @ direction
    return [
        LargestNeuron(
            int(i), int(n), float(fired[i, n]), float(per_activation[i, n]), float(fired[i, n] * per_activation[i, n])
        )
        for i, n in zip(layers, neurons, strict=True)
    ]
