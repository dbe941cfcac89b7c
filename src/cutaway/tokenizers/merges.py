"""Byte-pair encoding step by step, for display.

BPE starts from single characters (bytes) and joins, again and again, the neighbouring pair with the lowest rank;
of equal pairs the leftmost (Sennrich et al. 2016). The encoder in `tokenizers` does this in Rust and tells only the
result; here the same merges are applied one by one and listed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import tokenizers

from cutaway.errors import BadTokenizer
from cutaway.tokenizers.pieces import BYTE_PIECE, Token, shown


class Merges:
    """The ordered merges of a BPE vocabulary; the table is made when it is first asked for."""

    def __init__(self, pairs: Sequence[tuple[str, str]], *, byte_fallback: bool) -> None:
        self.pairs = pairs
        self.byte_fallback = byte_fallback

    @cached_property
    def ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in enumerate(self.pairs)}


@dataclass(frozen=True, slots=True)
class Merge:
    """`left` and `right` became `result`; lower `rank` goes first. `at`: the place in `start` where `left` begins."""

    left: Token
    right: Token
    result: Token
    rank: int
    at: int


@dataclass(frozen=True, slots=True)
class PieceMerges:
    """One word's way from single characters or bytes to its final pieces.

    `whole`: the word was found in the vocabulary as it is, or the model has no merges; then there are no steps.
    """

    text: str
    start: tuple[Token, ...]
    merges: tuple[Merge, ...]
    pieces: tuple[Token, ...]
    whole: bool


def apply(symbols: Iterable[str], ranks: dict[tuple[str, str], int]) -> tuple[list[str], list[tuple[int, int]]]:
    """Merge `symbols` until no pair is left. Returns the pieces, and the steps as (rank, place of the left one).

    A place is counted in the symbols that were given, so it stays the same while the row shrinks.
    """
    row = list(symbols)
    following = [*range(1, len(row)), -1]
    before = [*range(-1, len(row) - 1)]
    alive = [True] * len(row)
    heap = [(ranks[pair], at) for at, pair in enumerate(pairwise(row)) if pair in ranks]
    heapq.heapify(heap)
    steps: list[tuple[int, int]] = []
    while heap:
        rank, at = heapq.heappop(heap)
        right = following[at] if alive[at] else -1
        if right < 0 or ranks.get((row[at], row[right])) != rank:
            continue  # one of the two has been merged away since
        row[at] += row[right]
        alive[right] = False
        following[at] = following[right]
        if following[at] >= 0:
            before[following[at]] = at
        steps.append((rank, at))
        for left in (before[at], at):
            if left >= 0 and following[left] >= 0 and (pair := (row[left], row[following[left]])) in ranks:
                heapq.heappush(heap, (ranks[pair], left))
    return [piece for piece, here in zip(row, alive, strict=True) if here], steps


def symbols_of(pieces: Iterable[str], merges: Merges, atoms: Iterable[bool]) -> list[str]:
    """The single characters that a word's pieces came from; an atom (a byte, an unknown) came from itself."""
    symbols: list[str] = []
    for piece, atom in zip(pieces, atoms, strict=True):
        symbols += [piece] if atom or (merges.byte_fallback and BYTE_PIECE.match(piece)) else piece
    return symbols


def piece_merges(
    ids: Sequence[int],
    merges: Merges | None,
    backend: tokenizers.Tokenizer,
    token: Callable[[int], Token],
    unk_id: int | None,
) -> PieceMerges:
    """The merges that lead to one word's `ids`."""
    pieces = tuple(token(id) for id in ids)
    text = shown(b"".join(piece.bytes for piece in pieces))
    if merges is None:
        return PieceMerges(text, pieces, (), pieces, whole=True)
    names = [backend.id_to_token(id) or "" for id in ids]
    atoms = [piece.special or piece.id == unk_id for piece in pieces]
    symbols = symbols_of(names, merges, atoms)
    row, steps = apply(symbols, merges.ranks)
    if row != names:
        if len(pieces) == 1:  # found whole: a special token, or a word that `whole_words` takes as it is
            return PieceMerges(text, pieces, (), pieces, whole=True)
        raise BadTokenizer(f"the merges of {text!r} do not lead to its pieces; please report this tokenizer.")

    def named(piece: str) -> Token:
        id = backend.token_to_id(piece)
        if id is None:
            raise BadTokenizer(f"the merges use {piece!r}, which the vocabulary does not have.")
        return token(id)

    listed: list[Merge] = []
    for rank, at in steps:
        left, right = merges.pairs[rank]
        listed.append(Merge(named(left), named(right), named(left + right), rank, at))
    return PieceMerges(text, tuple(named(symbol) for symbol in symbols), tuple(listed), pieces, whole=False)
