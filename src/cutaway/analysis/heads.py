"""What attention heads look at: the strongest attention at a position, and scores that name a head's habit.

Definitions as in "A Mathematical Framework for Transformer Circuits" (Elhage et al. 2021) and "In-context Learning
and Induction Heads" (Olsson et al. 2022). For a query at position q:

    previous token    the weight on q - 1
    duplicate token   the weight on all earlier positions that hold the same token as q
    induction         the weight on all positions that come right after an earlier one with the same token as q
                      (q itself left out: after "a a", the second "a" does not point at itself)

each averaged over the queries where there is such a position. They say where a head looks on this text; on random
tokens said twice they are the scores that the papers report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cutaway.trace.row import row_alone

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace

PATTERN_AT_ONCE = 1 << 22  # 16 MB of attention weights, whatever the length


@dataclass(frozen=True)
class HeadAttention:
    """The key position that one head attends to most. `first`: its weight on position 0, which often takes what a
    head does not need (an attention sink, Xiao et al. 2023)."""

    layer: int
    head: int
    key: int
    weight: float
    first: float


def strongest(
    trace: Trace, *, position: int = -1, k: int | None = None, skip_first: bool = True
) -> list[HeadAttention]:
    """Each head's strongest attention from `position`, strongest head first; the `k` strongest heads if said.

    `skip_first` sets position 0 aside (weights stay as they are, unscaled); from position 0 itself there is then
    nothing to tell, and the list is empty. Raises `BadSelection` for a position outside the trace.
    """
    first_key = 1 if skip_first else 0
    found = []
    run, row = row_alone(trace, position)
    at = run.start + row
    for i in range(trace.config.n_layer):
        pattern = run.read(f"blocks.{i}.attn.pattern", q_pos=row)  # [head, k_pos]
        seen = pattern[:, first_key : at + 1]
        if seen.shape[1] == 0:
            return []
        keys = seen.argmax(axis=1)
        for head, key in enumerate(keys):
            weight = float(seen[head, key])
            found.append(HeadAttention(i, head, int(key) + first_key, weight, float(pattern[head, 0])))
    found.sort(key=lambda each: (-each.weight, each.layer, each.head))
    return found if k is None else found[: max(0, k)]


@dataclass(frozen=True)
class HeadScores:
    """Scores from 0 to 1, each [layer, head]; `n_…` counts the queries they are averaged over (a score over none
    is 0 and means nothing)."""

    previous_token: np.ndarray
    duplicate_token: np.ndarray
    induction: np.ndarray
    n_previous: int
    n_duplicate: int
    n_induction: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "previous_token": self.previous_token.tolist(),
            "duplicate_token": self.duplicate_token.tolist(),
            "induction": self.induction.tolist(),
            "n_previous": self.n_previous,
            "n_duplicate": self.n_duplicate,
            "n_induction": self.n_induction,
        }


def head_scores(trace: Trace) -> HeadScores:
    """The three scores of every head on this text. Each block is run again; where its pattern is larger than 16 MB,
    its rows are read so many at a time."""
    config = trace.config
    step = max(1, PATTERN_AT_ONCE // (config.n_head * len(trace.ids)))
    chunks = [np.arange(first, min(first + step, len(trace))) for first in range(0, len(trace), step)]
    sums = np.zeros((3, config.n_layer, config.n_head), dtype=np.float32)
    counts = [0, 0, 0]
    for rows in chunks:
        for which, keys in enumerate(_keys_of_interest(np.asarray(trace.ids), rows + trace.start)):
            counts[which] += int(keys.any(axis=1).sum())
    for i in range(config.n_layer):
        for rows in chunks:
            pattern = trace.read(f"blocks.{i}.attn.pattern", q_pos=rows)  # [head, q_pos, k_pos]
            for which, keys in enumerate(_keys_of_interest(np.asarray(trace.ids), rows + trace.start)):
                sums[which, i] += np.einsum("hqk,qk->h", pattern, keys.astype(np.float32))
    previous, duplicate, induction = (sums[which] / np.float32(max(1, n)) for which, n in enumerate(counts))
    return HeadScores(previous, duplicate, induction, *counts)


def _keys_of_interest(ids: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For the queries at these positions, which keys count for each score; each [q_pos, k_pos], true or false."""
    keys = np.arange(len(ids))
    before = keys[None, :] < queries[:, None]
    previous = keys[None, :] == queries[:, None] - 1
    same = (ids[None, :] == ids[queries][:, None]) & before
    after = np.zeros_like(same)
    after[:, 1:] = same[:, :-1]
    return previous, same, after & before
