"""What one text needs of a vocabulary.

The tables of byte-pair encoding, made of a file's 49,000 pieces and as many merges, take longer to build than all
that is then done with a sentence. But a word is only ever cut into pieces that lie within it, by merges whose result
does: with these few, in the order of the file, the same encoder gives the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

# Stretches of characters that are looked at; a text with more of them is worth the tables.
MOST_STRETCHES = 20_000


def within(
    words: Iterable[str], pieces: Sequence[str], merges: Iterable[str]
) -> tuple[dict[str, int], list[tuple[str, str]]] | None:
    """The pieces (with their ids) and the merges (each "left right", lowest rank first) that lie within these words,
    as the vocabulary spells them. None when there is too much to look at, or a piece is there twice."""
    distinct = set(words)
    if sum(len(word) * (len(word) + 1) // 2 for word in distinct) > MOST_STRETCHES:
        return None
    stretches = {word[i:j] for word in distinct for i in range(len(word)) for j in range(i + 1, len(word) + 1)}
    found = list(compress(range(len(pieces)), map(stretches.__contains__, pieces)))
    ids = {pieces[id]: id for id in found}
    if len(ids) != len(found):
        return None
    cuts = ((piece[:at], piece[at:]) for piece in ids for at in range(1, len(piece)))
    possible = {f"{left} {right}": (left, right) for left, right in cuts if left in ids and right in ids}
    return ids, [possible[merge] for merge in filter(possible.__contains__, merges)]
