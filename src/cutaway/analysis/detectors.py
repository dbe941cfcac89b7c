"""Head detectors: what a head does on random tokens said twice, where there is nothing to read but the order.

Each text is r r: `length` different tokens drawn at random, and the same once more. For a query at position q, the
weight that a head's pattern gives to

    previous token    q - 1
    duplicate token   q - length, where the same token stood before           (queries of the second half)
    induction         q - length + 1, what came after the same token then     (queries of the second half)
    first token       0

averaged over queries and texts. Sources: previous-token and duplicate-token heads, "A Mathematical Framework for
Transformer Circuits" (Elhage et al. 2021) and "Interpretability in the Wild" (Wang et al. 2022); induction by the
prefix-matching score on repeated random tokens, "In-context Learning and Induction Heads" (Olsson et al. 2022); the
first token as a place to rest attention, "Efficient Streaming Language Models with Attention Sinks" (Xiao et al.
2023). The means are over the diagonals that TransformerLens' `detect_head` looks at, with one difference: a query
whose key would be position 0 counts for the first token alone, so that a sink is not taken for something else.

`heads.head_scores` gives such scores on a text of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadInput

if TYPE_CHECKING:
    from cutaway.trace.trace import Piece, Trace

NAMES = ("previous_token", "duplicate_token", "induction", "first_token")
SHORTEST = 3  # below it, some score would be averaged over nothing


class Traceable(Protocol):
    """A `Model`."""

    @property
    def config(self) -> ModelConfig: ...

    def trace(self, text: list[int], /, *, record: str = ...) -> Trace: ...

    def token(self, id: int, /) -> Piece: ...


@dataclass(frozen=True)
class HeadDetectors:
    """Scores from 0 to 1, each [layer, head]; over `n_sequences` texts of 2 × `length` tokens, drawn with `seed`."""

    previous_token: np.ndarray
    duplicate_token: np.ndarray
    induction: np.ndarray
    first_token: np.ndarray
    seed: int
    n_sequences: int
    length: int

    def strongest(self, detector: str, k: int = 10) -> list[tuple[int, int, float]]:
        """(layer, head, score) of the `k` highest, best first. `detector`: one of `NAMES`."""
        if detector not in NAMES:
            raise BadInput(f'there is no detector "{detector}"; there are {", ".join(NAMES)}.')
        scores: np.ndarray = getattr(self, detector)
        order = np.argsort(-scores, axis=None, kind="stable")[: max(0, k)]
        return [
            (int(i), int(h), float(scores[i, h])) for i, h in zip(*np.unravel_index(order, scores.shape), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = {name: getattr(self, name).tolist() for name in NAMES}
        return {**scores, "seed": self.seed, "n_sequences": self.n_sequences, "length": self.length}


def detect_heads(
    model: Traceable,
    *,
    seed: int = 0,
    n_sequences: int = 4,
    length: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> HeadDetectors:
    """The four scores of every head. `length` is shortened where the model's context or vocabulary asks for it.
    `progress(done, n_sequences)` is called before each text and at the end.

    Raises `BadInput` for a model too small for 2 × 3 tokens, and for counts below one.
    """
    texts = random_texts(model, seed=seed, n_sequences=n_sequences, length=length)
    length = len(texts[0]) // 2
    config = model.config
    sums = np.zeros((len(NAMES), config.n_layer, config.n_head), dtype=np.float32)
    for done, ids in enumerate(texts):
        if progress is not None:
            progress(done, n_sequences)
        trace = model.trace(ids, record="blocks.*.attn.pattern")
        for i in range(config.n_layer):
            sums[:, i] += diagonals(trace[f"blocks.{i}.attn.pattern"], length)
    if progress is not None:
        progress(n_sequences, n_sequences)
    previous, duplicate, induction, first = sums / np.float32(n_sequences)
    return HeadDetectors(previous, duplicate, induction, first, seed, n_sequences, length)


def diagonals(pattern: np.ndarray, length: int) -> np.ndarray:  # [head, q_pos, k_pos] -> [4, head]
    """The four means for one text of 2 × `length` tokens."""
    n = 2 * length
    both, second = np.arange(2, n), np.arange(length, n)  # the query at 1 has position 0 before it
    return np.stack(
        [
            pattern[:, both, both - 1].mean(axis=1),
            pattern[:, second[1:], second[1:] - length].mean(axis=1),
            pattern[:, second, second - length + 1].mean(axis=1),
            pattern[:, both, 0].mean(axis=1),
        ]
    )


def random_texts(model: Traceable, *, seed: int, n_sequences: int, length: int) -> list[list[int]]:
    """Different tokens, none of them special, said twice."""
    if n_sequences < 1 or length < SHORTEST:
        raise BadInput(
            f"{n_sequences} texts of {length} tokens said twice; expected 1 or more, of {SHORTEST} or more."
        )
    config = model.config
    plain = np.array([id for id in range(config.n_vocab) if not getattr(model.token(id), "special", False)])
    length = min(length, config.n_ctx // 2, len(plain))
    if length < SHORTEST:
        raise BadInput(
            f"this model takes {config.n_ctx} tokens out of {len(plain)}; the detectors need {SHORTEST} tokens said"
            " twice."
        )
    draw = np.random.default_rng(seed)
    found: list[Sequence[int]] = [draw.choice(plain, length, replace=False).tolist() for _ in range(n_sequences)]
    return [[*once, *once] for once in found]
