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

# A single id says too little about what comes next: on ten texts of SmolLM2 (greedy and sampled, 150 tokens each)
# looking up two or three ids saved more passes than one to three.
NGRAMS = (3, 2)
LONGEST_PAUSE = 16


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
    """Where each run of two or three ids was seen last; two dictionary entries per id."""

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # run of ids -> the index of what followed it last
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        # The run that ends just before this id is entered only now: a run must not find itself.
        end = len(self._ids)
        for n in NGRAMS:
            if n <= end:
                self._after[tuple(self._ids[end - n :])] = end
        self._ids.append(token)

    def draft(self, length: int) -> tuple[int, ...]:
        """Up to `length` ids that followed the longest known run at the end of the text; none if there is none.

        Where the copy reaches the end of the text it goes on with itself, so that a loop of any period is continued.
        """
        end = len(self._ids)
        for n in NGRAMS:
            start = self._after.get(tuple(self._ids[end - n :])) if n <= end else None
            if start is not None:
                period = end - start
                return tuple(self._ids[start + i % period] for i in range(length))
        return ()


class DraftLength:
    """How far to guess, from how it went: checking 16 tokens costs as much as two to five single steps, so guesses
    that fail must become short and rare. Doubles after a draft accepted whole, falls to just above what was accepted
    otherwise, and after a draft of which nothing was right pauses for 1, 2, 4 … 16 passes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._length = min(4, longest)
        self._pause = 0
        self._next_pause = 1

    def next(self) -> int:
        """The length for this pass; 0 while pausing."""
        if self._pause:
            self._pause -= 1
            return 0
        return self._length

    def observe(self, drafted: int, accepted: int) -> None:
        if drafted == 0:
            return
        if accepted == drafted:
            self._length = min(self._longest, max(self._length, 2 * drafted))
        else:
            self._length = min(self._longest, accepted + 1)
        if accepted:
            self._next_pause = 1
        else:
            self._pause = self._next_pause
            self._next_pause = min(LONGEST_PAUSE, 2 * self._next_pause)
