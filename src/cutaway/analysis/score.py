"""How well a model expected a text: the loss of each token, and the perplexity of the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cutaway.errors import BadInput
from cutaway.ops import log_softmax
from cutaway.trace.trace import Piece, Trace

# So many rows of logits at a time, of which softmax makes several arrays: 3 MB each at 49,152 tokens.
ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Score:
    """`losses[i]` is -log p of token i + 1 given those before it, in nats; the first token has no loss."""

    tokens: tuple[Piece, ...]
    losses: np.ndarray

    @property
    def loss(self) -> float:
        """The mean over the predicted tokens, in nats."""
        return float(np.mean(self.losses, dtype=np.float64))

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally likely tokens the model hesitated."""
        try:
            return math.exp(self.loss)
        except OverflowError:  # above 709 nats, which a model that somebody changed may well give
            return math.inf


def score(trace: Trace) -> Score:
    """The loss of each token of the traced text. Raises `BadInput` for a single token, which nothing predicts."""
    ids = np.asarray(trace.ids)
    if len(ids) < 2:
        raise BadInput("the text is a single token, and nothing comes before it; a loss needs at least two tokens.")
    losses = np.empty(len(ids) - 1, dtype=np.float32)
    for start in range(0, len(losses), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(losses))
        chosen = log_softmax(trace.read("logits", pos=slice(start, stop)))
        losses[start:stop] = -chosen[np.arange(stop - start), ids[start + 1 : stop + 1]]
    return Score(tuple(trace.tokens), losses)
