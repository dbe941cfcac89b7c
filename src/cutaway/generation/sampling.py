"""From logits to a token: the filters people know, in transformers' order and with its meaning, and the draw.

Repetition penalty (Keskar et al. 2019), then ÷ temperature, then top-k (Fan et al. 2018), top-p (Holtzman et al.
2020) and min-p (Nguyen et al. 2024); at temperature 0 the penalty and then the largest. Each filter is a function
scores [vocab] -> scores [vocab] that puts -inf where it removes; at least one token always survives.

The draw is by inverse CDF: the surviving tokens stand in a row by falling score (equal scores: the smaller id first),
each as wide as its probability, and u in [0, 1) falls into one of them. u is a function of the seed and of the
token's index in the output, and of nothing else, so that a position draws the same whether it was decoded alone, in a
draft, or again tomorrow. Scores are float32; weights and their running sums are float64, since 50,000 float32
additions would move the far edges of the row by more than the tokens there are wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cutaway.errors import BadInput, BadNumbers

COLDEST = 1e-4  # below it logits ÷ temperature could leave float32; 0 says the same and exactly
HOTTEST = 1e4  # above it, and for a penalty outside 1/HOTTEST to HOTTEST, float32 would under- or overflow


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. `None` (and 1.0 for the penalty and top-p) leaves a filter out.

    Raises `BadInput` when a number is outside its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        expected = "0 (greedy) or a number from 0.0001 to 10000"
        _number("temperature", self.temperature, expected)
        if self.temperature != 0 and not COLDEST <= self.temperature <= HOTTEST:
            raise BadInput(f"temperature is {self.temperature!r}; expected {expected}.")
        if self.top_k is not None and (not _whole(self.top_k) or self.top_k < 1):
            raise BadInput(
                f"top_k is {self.top_k!r}; expected a whole number from 1 up, or none to keep every token."
            )
        if self.top_p is not None:
            expected = "a share above 0 and up to 1 (1 keeps every token)"
            _number("top_p", self.top_p, expected)
            if not 0 < self.top_p <= 1:
                raise BadInput(f"top_p is {self.top_p!r}; expected {expected}.")
        if self.min_p is not None:
            expected = "a share from 0 to 1 (0 keeps every token)"
            _number("min_p", self.min_p, expected)
            if not 0 <= self.min_p <= 1:
                raise BadInput(f"min_p is {self.min_p!r}; expected {expected}.")
        if self.repetition_penalty is not None:
            expected = "a number from 0.0001 to 10000 (1 changes nothing, 1.1 holds repetition back)"
            _number("repetition_penalty", self.repetition_penalty, expected)
            if not 1 / HOTTEST <= self.repetition_penalty <= HOTTEST:
                raise BadInput(f"repetition_penalty is {self.repetition_penalty!r}; expected {expected}.")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    @property
    def penalizes(self) -> bool:
        return self.repetition_penalty is not None and self.repetition_penalty != 1

    def stages(self) -> tuple[tuple[str, float | int], ...]:
        """What is applied, in order, with its setting. Greedy leaves out what could not change the result."""
        penalty = [("repetition_penalty", self.repetition_penalty)] if self.penalizes else []
        if self.greedy:
            return (*_given(penalty), ("greedy", 0))
        filters: list[tuple[str, float | int | None]] = [
            ("temperature", self.temperature if self.temperature != 1 else None),
            ("top_k", self.top_k),
            ("top_p", self.top_p if self.top_p != 1 else None),
            ("min_p", self.min_p if self.min_p != 0 else None),
        ]
        return _given([*penalty, *filters])

    def apply(self, stage: str, setting: float | int, scores: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        """One stage: [vocab] -> [vocab]. `seen` holds the ids of the text so far, each once."""
        if stage == "repetition_penalty":
            return penalize(scores, np.empty(0, np.intp) if seen is None else seen, setting)
        return FILTERS[stage](scores, setting)

    def process(self, logits: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """Every stage: [vocab] -> [vocab], -inf where a token was removed. Raises `BadNumbers` on not-a-number."""
        require_numbers(logits)
        scores = logits
        for stage, setting in self.stages():
            scores = self.apply(stage, setting, scores, seen)
        return scores


def _given(
    rows: list[tuple[str, float | int | None]] | list[tuple[str, float | None]],
) -> tuple[tuple[str, float | int], ...]:
    return tuple((name, setting) for name, setting in rows if setting is not None)


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(name: str, value: object, expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise BadInput(f"{name} is {value!r}; expected {expected}.")
    if not math.isfinite(value):
        raise BadInput(f"{name} is {float(value)}; expected {expected}.")


def require_numbers(scores: np.ndarray) -> None:
    """Raises `BadNumbers` unless the largest is a finite number (-inf elsewhere is an impossible token)."""
    largest = float(scores.max())
    if not math.isfinite(largest):
        what = "not-a-number" if math.isnan(largest) else "only infinities" if largest < 0 else "infinity"
        raise BadNumbers(
            f"the logits hold {what}, so no token can be chosen; look for a weight, or a change made"
            " to the model, that is not a finite number."
        )


# -- filters: [vocab] -> [vocab] ---------------------------------------------------------------------------------


def penalize(scores: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Makes the tokens of the text so far less likely: a negative score times `penalty`, a positive one divided by it
    (Keskar et al. 2019)."""
    out = scores.copy()
    own = out[seen]
    out[seen] = np.where(own < 0, own * np.float32(penalty), own / np.float32(penalty))
    return out


def divide(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Above 1 evens the chances out, below 1 sharpens them."""
    return scores / np.float32(temperature)


def keep_top_k(scores: np.ndarray, top_k: int) -> np.ndarray:
    """The `top_k` largest, and all that equal the last of them."""
    if top_k >= scores.shape[-1]:
        return scores
    last = np.partition(scores, -top_k)[-top_k]
    return np.where(scores < last, np.float32(-math.inf), scores)


def keep_top_p(scores: np.ndarray, top_p: float) -> np.ndarray:
    """The fewest likeliest tokens that together have the probability `top_p`; the one that crosses it is kept."""
    order, running, total = ranked(scores, top_p)
    crossing = int(np.searchsorted(running, top_p * total, side="left"))
    return _only(scores, order[: crossing + 1])


def keep_min_p(scores: np.ndarray, min_p: float) -> np.ndarray:
    """Those at least `min_p` times as likely as the likeliest."""
    weights = np.exp(scores.astype(np.float64) - float(scores.max()))  # the likeliest weighs 1
    return np.where(weights < min_p, np.float32(-math.inf), scores)


def keep_best(scores: np.ndarray, _: float = 0) -> np.ndarray:
    """The largest alone (the first of several): what a temperature falling to 0 leaves."""
    return _only(scores, np.asarray([int(scores.argmax())]))


def _only(scores: np.ndarray, ids: np.ndarray) -> np.ndarray:
    out = np.full_like(scores, -math.inf)
    out[ids] = scores[ids]
    return out


FILTERS = {
    "temperature": divide,
    "top_k": lambda scores, top_k: keep_top_k(scores, int(top_k)),
    "top_p": keep_top_p,
    "min_p": keep_min_p,
    "greedy": keep_best,
}


# -- the draw ----------------------------------------------------------------------------------------------------


def probabilities(scores: np.ndarray) -> np.ndarray:  # [vocab] -> [vocab], float64, sums to 1
    """Softmax over the full vocabulary; removed tokens (-inf) get exactly 0."""
    weights: np.ndarray = np.exp(scores.astype(np.float64) - float(scores.max()))
    weights /= weights.sum()
    return weights


def ranked(scores: np.ndarray, share: float = 1.0) -> tuple[np.ndarray, np.ndarray, float]:
    """The row of tokens that a draw falls into: ids by falling score (equal scores: the smaller id first), the
    running sums of their weights exp(score - largest), and the sum of all weights.

    Removed tokens are left out. With `share` < 1 the row may end as soon as it holds that share of the sum: sorting a
    few hundred of 50,000 ids is all that most draws need. What it holds does not depend on where it ends.
    """
    alive = np.flatnonzero(scores > -math.inf)
    values = scores[alive]
    weights = np.exp(values.astype(np.float64) - float(values.max()))
    total = float(weights.sum())
    places = falling(values)
    longest = places.shape[0]
    wanted = 128 if share < 1 else longest
    while True:
        front = places if wanted * 4 > longest else np.partition(places, wanted)[:wanted]
        front = np.sort(front) & 0xFFFFFFFF
        running = np.cumsum(weights[front])  # one after another, so a shorter row has the same sums
        if front.shape[0] == longest or running[-1] > share * total:
            return alive[front], running, total
        wanted *= 16


def falling(values: np.ndarray) -> np.ndarray:  # [n] float32 -> [n] int64
    """Numbers that sort as a row does, each different: above, the value turned round; in the low 32 bits, the index.

    Sorting these is several times as fast as a stable `argsort`. As integers the bits of a positive float32 rise with
    it, and those of a negative one fall.
    """
    bits = (values + np.float32(0)).view(np.int32).astype(np.int64)  # -0 + 0 is 0: equal values, equal bits
    rising = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (-rising << 32) | np.arange(values.shape[0])


def draw(scores: np.ndarray, u: float) -> int:
    """The token that `u` in [0, 1) falls into. Raises `BadNumbers` when the scores are no numbers."""
    require_numbers(scores)
    order, running, total = ranked(scores, u)
    place = int(np.searchsorted(running, u * total, side="right"))
    if place == order.shape[0]:  # the running sum was rounded below the whole: the last that has any width
        place = int(np.searchsorted(running, running[-1], side="left"))
    return int(order[place])


def uniform(seed: int, index: int) -> float:
    """The random number in [0, 1) for the token `index` of the output; 53 bits of Philox (Salmon et al. 2011) keyed
    with both, so that any position can be drawn without the ones before it."""
    bits = np.random.Philox(key=np.array([seed, index], dtype=np.uint64)).random_raw()
    return (int(bits) >> 11) * 2.0**-53
