"""Prompt lookup: guess that the text goes on as it did before, and check several guesses in one pass.

Saxena 2023, "Prompt Lookup Decoding": no second model; the last few ids are looked up in the text so far, and what
followed them there is the draft. One pass over the draft gives the logits of every position in it. Each position then
draws its token exactly as it would have alone (the random number is a function of seed and index), and the draft is
accepted for as long as it equals the draws. A drafted token x is so accepted with its own probability p(x), as in
Leviathan et al. 2023 for a draft that is certain, and the text is the one of plain decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# A run of ids is looked up by its last four, three, two, or one; how long it truly is is then counted back.
NGRAMS = (4, 3, 2, 1)
LONGEST_RUN = 16
# Lengths of run that are told apart, and how often what followed such a run is taken to be right before anything is
# known, as if eight guesses had shown it. Later ones count for more: each takes 3% off what those before it weigh.
# These, and the least chance, are what saved most on 24 texts of SmolLM2 (greedy and sampled, of 160 tokens).
RUNS = (1, 2, 3, 4, 6, 9)
CHANCES = (0.1, 0.3, 0.5, 0.65, 0.75, 0.85)
WEIGHT = 8.0
FADING = 0.97
# A row more in a pass costs a fifth to a quarter of a single step; a guess that is less likely than this is left out.
LEAST_CHANCE = 0.3


@dataclass(frozen=True)
class Draft:
    """What was guessed in one pass, and how many of it, from the first, the draws confirmed."""

    ids: tuple[int, ...]
    accepted: int

    @property
    def rejected(self) -> tuple[int, ...]:
        """The rest: the first of them differs from the draw (or the text ended there), the others fall with it."""
        return self.ids[self.accepted :]


class PromptLookup:
    """How the text goes on if it goes on as it did before, and how likely that is.

    The longest run of ids at the end of the text that was there before (of equally long ones the last) says what
    comes next. How often it was right, by the length of the run, is counted at every id, those of the prompt and
    those that nobody guessed included: so it costs no pass to learn when to guess, and how far.
    """

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # run of ids -> the index of what followed it last
        self._next: int | None = None  # the index of what followed the longest run
        self._run = 0  # how long that is
        self._right = [chance * WEIGHT for chance in CHANCES]
        self._seen = [WEIGHT] * len(CHANCES)
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        right = self._next is not None and self._ids[self._next] == token
        if self._next is not None:
            at = _kind(self._run)
            self._right[at] = FADING * self._right[at] + right
            self._seen[at] = FADING * self._seen[at] + 1
        # The run that ends just before this id is entered only now: a run must not find itself.
        end = len(self._ids)
        for n in NGRAMS:
            if n <= end:
                self._after[tuple(self._ids[end - n :])] = end
        self._ids.append(token)
        follows = None if self._next is None or not right else self._next + 1
        run = min(self._run + 1, LONGEST_RUN)
        self._next, self._run = self._latest()
        if follows is not None and run > self._run:
            self._next, self._run = follows, run

    def _latest(self) -> tuple[int | None, int]:
        """Where the longest of the looked-up runs was last, and how long it is there."""
        ids, end = self._ids, len(self._ids)
        for n in NGRAMS:
            start = self._after.get(tuple(ids[end - n :])) if n <= end else None
            if start is not None:
                while n < min(start, LONGEST_RUN) and ids[start - 1 - n] == ids[end - 1 - n]:
                    n += 1
                return start, n
        return None, 0

    def chance(self, run: int) -> float:
        """How likely what followed a run of this length is right, from how it went."""
        at = _kind(run)
        return self._right[at] / self._seen[at]

    def draft(self, longest: int) -> tuple[int, ...]:
        """Up to `longest` ids: as many as are likely enough, all before them being right; none if none is.

        Where the copy reaches the end of the text it goes on with itself, so that a loop of any period is continued.
        """
        if self._next is None:
            return ()
        period, chance, found = len(self._ids) - self._next, 1.0, list[int]()
        for i in range(longest):
            chance *= self.chance(self._run + i)
            if chance < LEAST_CHANCE:
                break
            found.append(self._ids[self._next + i % period])
        return tuple(found)


def _kind(run: int) -> int:
    return sum(run >= least for least in RUNS[1:])
