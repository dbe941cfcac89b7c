"""Search in a vocabulary: tokens by text, by id, by bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Piece(Protocol):
    """A token, as people see it."""

    @property
    def text(self) -> str: ...
    @property
    def display(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...


@dataclass(frozen=True)
class Found:
    """The first of the `total` ids that are meant, best first."""

    ids: tuple[int, ...]
    total: int


class Vocabulary:
    """All tokens of a model, made ready to be searched: `Vocabulary(model.token, model.config.n_vocab)`."""

    def __init__(self, piece: Callable[[int], Piece], n_vocab: int) -> None:
        pieces = [piece(id) for id in range(n_vocab)]
        self._texts = [each.text.lower() for each in pieces]
        self._shown = [each.display.lower() for each in pieces]
        self._bytes = [each.bytes for each in pieces]

    def search(self, query: str, k: int = 50) -> Found:
        """Tokens that `query` may mean: the token of that id; those whose bytes are these (in hexadecimal); those
        whose text, as it is or as it is shown, has it in it, upper and lower case alike.

        A space before the word is part of it; around it, white space is ignored. In this order: id, bytes, the whole
        text (without its spaces), its beginning, anywhere; shorter before longer, lower ids before higher.
        """
        word = query.strip().lower()
        if not word:
            return Found((), 0)
        ranks: dict[int, tuple[int, int]] = {}
        wanted = f" {word}" if query[:1] == " " else word
        for id, (text, shown) in enumerate(zip(self._texts, self._shown, strict=True)):
            if wanted in text:
                place = 2 if text.strip() == word else 3 if text.startswith((wanted, f" {wanted}")) else 4
                ranks[id] = (place, len(text))
            elif wanted in shown:
                ranks[id] = (4, len(text))
        raw = _bytes_of(word)
        if raw is not None:
            ranks |= {id: (1, 0) for id, each in enumerate(self._bytes) if each == raw}
        if re.fullmatch("#?[0-9]{1,9}", word) and int(word.lstrip("#")) < len(self._texts):
            ranks[int(word.lstrip("#"))] = (0, 0)
        order = sorted(ranks, key=lambda id: (*ranks[id], id))
        return Found(tuple(order[: max(0, k)]), len(order))


def _bytes_of(word: str) -> bytes | None:
    """ "0xe2 80 99" or "e28099" -> the bytes; None where it is not that."""
    digits = re.sub(r"\s|0x", "", word)
    if len(digits) % 2 or not re.fullmatch("[0-9a-f]+", digits):
        return None
    return bytes.fromhex(digits)
