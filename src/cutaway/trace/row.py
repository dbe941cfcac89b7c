"""One row of a long run by itself: what an analysis of one position reads need not be computed for all of them."""

from __future__ import annotations

import numpy as np

from cutaway.trace.selection import pick
from cutaway.trace.trace import Trace

# Up to so many rows a block runs in a moment, and what it leaves is remembered for the next question.
SHORT = 128


def row_alone(trace: Trace, position: int) -> tuple[Trace, int]:
    """A trace that holds the row at `position`, and where it stands in it (from 0).

    Of a long run it is a trace of that row alone, as of a step of a generation: of the rows before it, only keys and
    values are computed, once for each block that is read. The numbers are the same to the last bit, for a pass that
    remembers has the bits of one that does not. A short run is given back as it is, and so is one that somebody
    changed: what acts there may look at every row. Raises `BadSelection` for a position outside.
    """
    row = int(pick(position, len(trace), "pos", "this trace")[0])
    if len(trace) <= SHORT or trace.start or trace.interventions:
        return trace, row

    def past(block: int) -> tuple[np.ndarray, np.ndarray]:
        keys = trace.sites[f"blocks.{block}.attn.qk"].inputs[1].name
        values = f"blocks.{block}.attn.v"
        found = trace.read_many([keys, values])
        return found[keys][:row], found[values][:row]

    alone = trace.alone(row, past)
    return (trace, row) if alone is None else (alone, 0)
