"""Why this token: the candidates through every stage, and where the random number fell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cutaway.generation.sampling import Sampling, draw, probabilities, ranked, require_numbers, uniform

SHOWN = 20


@dataclass(frozen=True, eq=False)
class Stage:
    """All tokens after one step of processing. `name` is "raw" or a generation argument's; greedy decoding ends with
    "greedy". `scores` [vocab] float32, -inf where a token is out."""

    name: str
    setting: float | int | None
    scores: np.ndarray

    @cached_property
    def kept(self) -> int:
        """How many tokens are still possible."""
        return int(np.count_nonzero(self.scores > -math.inf))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Over the full vocabulary, as they would be if this were the last stage: [vocab] float64, sums to 1."""
        return probabilities(self.scores)


@dataclass(frozen=True)
class Candidate:
    """One token through the stages. `rank` 1 has the largest raw logit. `interval`: the random numbers that choose
    it, from the first to below the second; None when it was removed."""

    token_id: int
    rank: int
    chosen: bool
    scores: Mapping[str, float]
    probabilities: Mapping[str, float]
    interval: tuple[float, float] | None

    @property
    def logit(self) -> float:
        """What the model said."""
        return self.scores["raw"]

    @property
    def plain_probability(self) -> float:
        """Softmax of the logits over the full vocabulary, before any processing."""
        return self.probabilities["raw"]

    @property
    def probability(self) -> float:
        """The chance it had in the draw; 0 when it was removed."""
        return list(self.probabilities.values())[-1]

    @property
    def removed_by(self) -> str | None:
        """The stage that took it out."""
        return next((name for name, score in self.scores.items() if score == -math.inf), None)


@dataclass(frozen=True)
class Slice:
    """One token's part of the row that the draw falls into: from `low` to below `high`, in [0, 1]."""

    token_id: int
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Choice:
    """A token chosen from `logits` [vocab]. Holds only these: every stage is computed again when asked for, by the
    same functions. `seen`: the ids of the text so far, where a repetition penalty needs them. `u` is None when
    greedy.
    """

    token_id: int
    logits: np.ndarray
    sampling: Sampling
    seen: np.ndarray | None
    seed: int
    index: int
    u: float | None

    def stages(self) -> tuple[Stage, ...]:
        """Every stage, "raw" first, with all [vocab] scores of each (a few milliseconds; nothing is kept)."""
        scores = self.logits
        found = [Stage("raw", None, scores)]
        for name, setting in self.sampling.stages():
            scores = self.sampling.apply(name, setting, scores, self.seen)
            found.append(Stage(name, setting, scores))
        return tuple(found)

    def candidates(self, n: int = SHOWN) -> tuple[Candidate, ...]:
        """The `n` largest raw logits, and the chosen token if it is not among them, through every stage."""
        stages = self.stages()
        by_logit, _, _ = ranked(self.logits)
        shown = [int(token) for token in by_logit[:n]]
        ranks = list(range(len(shown)))
        if self.token_id not in shown:
            shown.append(self.token_id)
            ranks.append(int(np.flatnonzero(by_logit == self.token_id)[0]))
        places = {part.token_id: (part.low, part.high) for part in self._row(stages[-1].scores, shown)}
        return tuple(
            Candidate(
                token_id=token,
                rank=rank + 1,
                chosen=token == self.token_id,
                scores={stage.name: float(stage.scores[token]) for stage in stages},
                probabilities={stage.name: float(stage.probabilities[token]) for stage in stages},
                interval=places.get(token),
            )
            for token, rank in zip(shown, ranks, strict=True)
        )

    def kept(self) -> dict[str, int]:
        """How many tokens each stage left, by its name."""
        return {stage.name: stage.kept for stage in self.stages()}

    def around(self, n: int = 3) -> tuple[Slice, ...]:
        """The chosen token's part of the row, with up to `n` neighbours on either side."""
        scores = self.sampling.process(self.logits, self.seen)
        order, _, _ = ranked(scores)
        place = int(np.flatnonzero(order == self.token_id)[0])
        near = [int(token) for token in order[max(0, place - n) : place + n + 1]]
        return tuple(self._row(scores, near))

    def _row(self, scores: np.ndarray, tokens: list[int]) -> list[Slice]:
        order, running, _ = ranked(scores)
        edges = np.minimum(np.concatenate([[0.0], running]) / running[-1], 1.0)
        where = {int(order[place]): int(place) for place in np.flatnonzero(np.isin(order, tokens))}
        return [
            Slice(token, float(edges[where[token]]), float(edges[where[token] + 1]))
            for token in tokens
            if token in where
        ]


def choose(logits: np.ndarray, sampling: Sampling, seen: np.ndarray | None, seed: int, index: int) -> Choice:
    """[vocab] -> the token for position `index` of the output. Raises `BadNumbers` when the logits are no numbers."""
    if sampling.greedy and not sampling.penalizes:
        require_numbers(logits)
        return Choice(int(logits.argmax()), logits, sampling, seen, seed, index, None)
    scores = sampling.process(logits, seen)
    if sampling.greedy:
        return Choice(int(scores.argmax()), logits, sampling, seen, seed, index, None)
    u = uniform(seed, index)
    return Choice(draw(scores, u), logits, sampling, seen, seed, index, u)
