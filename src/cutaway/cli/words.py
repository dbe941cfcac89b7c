"""Words and numbers for people: harmless to a terminal, in characters that it has, three significant digits.

Nothing of a model's or a user's text reaches a terminal as it is: control characters (an escape sequence can retitle
a window, or worse) and characters that reorder a line become visible signs. Imports nothing that draws, so that the
machine's form of a command starts at once.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TextIO

# Typographic characters of our own sentences, for terminals that have none: one for one, so that columns stay.
PLAIN = str.maketrans(
    {
        **{
            "·": ".",
            "−": "-",
            "–": "-",
            "—": "-",
            "×": "x",
            "÷": "/",
            "…": "~",
            "→": ">",
            "←": "<",
            "↵": "$",
            "‹": "<",
        },
        **{
            "›": ">",
            "√": "v",
            "│": "|",
            "─": "-",
            "├": "|",
            "┤": "|",
            "▲": "^",
            "◀": "<",
            "▁": "_",
            "≥": ">",
            "█": "#",
        },
        **{"╱": "/", "░": ".", "▒": ":", "▓": "+", "⠂": ",", "⠒": "-", "⠶": "=", "⣿": "%", "║": "|", "’": "'"},
    }
)


def can_show_unicode(file: TextIO) -> bool:
    """Whether block characters can be written to `file`. A terminal whose language is set to C says that it has only
    ASCII, though Python itself then writes UTF-8."""
    language = next((os.environ[name] for name in ("LC_ALL", "LANG") if os.environ.get(name)), "")
    if language in ("C", "POSIX") and not os.environ.get("PYTHONUTF8"):
        return False
    try:
        "█⣿╱−…".encode(getattr(file, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# Characters that turn the direction of what follows: a line could be made to read as another.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str, *, keep: str = "") -> str:
    """`text` without anything that controls a terminal: control characters as ␛, ↵, → and the like, turning marks and
    lone surrogates as ‹U+202E›. Those in `keep` stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if character in keep else _harmless(character) for character in text)


def _harmless(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return "↵" if character == "\n" else "→"
    if code < 32:
        return chr(0x2400 + code)
    if code == 127:
        return "␡"
    if character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f"‹U+{code:04X}›"
    return character


def plain(text: str) -> str:
    """In ASCII: our own typographic characters one for one, all others as escapes."""
    return text.translate(PLAIN).encode("ascii", "backslashreplace").decode("ascii")


# -- numbers, for people -----------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three significant digits, a real minus sign: "26.9", "−0.120", "1.20e−05"."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "∞", "-inf": "−∞"}.get(str(value), "not a number")
    size = abs(value)
    if size != 0 and not 1e-3 <= size < 1e6:
        text = f"{value:.2e}"
    elif size >= 999.5:
        text = f"{value:,.0f}"
    else:
        text = f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share of 1 with three significant digits: "12.0%"; below 0.001% as "1.2e−06"."""
    if share != 0 and share < 1e-5:
        return f"{share:.1e}".replace("-", "−")
    return "0%" if share == 0 else f"{100 * share:#.3g}".rstrip(".") + "%"


def size(n_bytes: float) -> str:
    """ "98.4 MB": decimal units, as disks and hubs count."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if n_bytes < 999.5 or unit == "PB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:#.3g}".rstrip(".") + f" {unit}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """ "1 piece", "1,024 pieces"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


# -- notes -------------------------------------------------------------------------------------------------------


def note(sentence: str) -> None:
    """A sentence for the person, on standard error, so that the output stays what it is."""
    text = harmless(f"cutaway: {sentence}")
    if not can_show_unicode(sys.stderr):
        text = plain(text)
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # nobody reads it
        return
