"""What a token stands for: its exact bytes, and how people see them.

Byte-level BPE writes each byte as one printable character (`ALPHABET`; a space is "Ġ"); SentencePiece writes a
space as "▁" and a lone byte as "<0xE2>". Both are undone here, so that the rest of Cutaway sees bytes alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Spelling = Literal["byte-level", "sentencepiece", "metaspace", "plain"]

SPACE_MARK = "▁"
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>\Z")


def _alphabet() -> dict[str, int]:
    """Character -> byte. Printable Latin-1 stands for itself, the other 68 bytes for U+0100 and up (GPT-2)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


ALPHABET: Mapping[str, int] = _alphabet()
CHARACTER: Mapping[int, str] = {byte: character for character, byte in ALPHABET.items()}

# Shown as signs because they are text's own white space; other invisible characters are shown by their names.
VISIBLE = {" ": "·", "\n": "↵", "\t": "→", "\x7f": "␡"} | {
    chr(c): chr(0x2400 + c) for c in range(32) if c not in (9, 10)
}


@dataclass(frozen=True, slots=True)
class Token:
    """One entry of the vocabulary.

    `bytes`: exactly what it adds to the text (a special token: its literal text; an unused id: nothing).
    `text`: those bytes for people; whole characters as they are, bytes of a split character as ‹E2›.
    """

    id: int
    bytes: bytes
    text: str
    special: bool = False

    @property
    def display(self) -> str:
        """`text` with white space and invisible characters made visible, for labels."""
        return visible(self.text)


def spelled(piece: str, spelling: Spelling) -> bytes:
    """The bytes that a piece of the vocabulary stands for."""
    if spelling == "byte-level":
        if all(character in ALPHABET for character in piece):
            return bytes(ALPHABET[character] for character in piece)
    elif spelling in ("sentencepiece", "metaspace"):
        if spelling == "sentencepiece" and (match := BYTE_PIECE.match(piece)):
            return bytes([int(match[1], 16)])
        piece = piece.replace(SPACE_MARK, " ")
    return piece.encode("utf-8", errors="replace")


def shown(raw: bytes) -> str:
    """Whole characters as they are, every other byte as ‹XX›."""
    parts: list[str] = []
    while raw:
        try:
            parts.append(raw.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            parts.append(raw[: error.start].decode("utf-8"))
            parts += [f"‹{byte:02X}›" for byte in raw[error.start : error.end]]
            raw = raw[error.end :]
    return "".join(parts)


def visible(text: str) -> str:
    """No character of the result is invisible: "·" for a space, "↵", "→", "␀", "‹U+200D›", "◌́" for a lone mark."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    parts: list[str] = []
    for at, character in enumerate(text):
        if character in VISIBLE:
            parts.append(VISIBLE[character])
        elif unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn"):
            parts.append(f"‹U+{ord(character):04X}›")
        elif at == 0 and unicodedata.category(character).startswith("M"):
            parts.append("◌" + character)  # a combining mark needs something to sit on
        else:
            parts.append(character)
    return "".join(parts)
