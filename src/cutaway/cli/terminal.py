"""Where a command writes: how wide it is, whether it has colours and which characters it can show.

Colours are the terminal's own sixteen; they are left out where nobody asked for them (a pipe, `NO_COLOR`, a dumb
terminal), and no picture needs them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from cutaway.cli.words import PLAIN, can_show_unicode, harmless, plain

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST, WIDEST = 40, 120

# The roles of the page, in the terminal's own colours.
ATTENTION, POSITIVE, NEGATIVE, CHOSEN, FAINT, STRONG = "magenta", "yellow", "blue", "green", "dim", "bold"


def ink(text: str, style: str = "") -> Text:
    """`text` in `style`, and nothing that is added to it: rich lets the style of the first part colour the whole."""
    return Text().append(text, style)


@dataclass(frozen=True)
class Glyphs:
    """The characters of the pictures. `shades` grow darker from nothing; `minus_shades` as well, for values below
    zero; `eighths` are parts of a bar's last cell."""

    shades: str
    minus_shades: str
    eighths: str
    full: str
    masked: str


UNICODE = Glyphs(" ░▒▓█", " ⠂⠒⠶⣿", "▏▎▍▌▋▊▉", "█", "╱")
ASCII = Glyphs(" .:+#", " ,-=%", "", "#", "/")


@dataclass(frozen=True)
class Screen:
    """A terminal or a pipe, as pictures see it: `width` cells, its `glyphs`, and a `console` that draws."""

    console: Console
    width: int
    unicode: bool

    @property
    def glyphs(self) -> Glyphs:
        return UNICODE if self.unicode else ASCII

    def text(self, text: str) -> str:
        """`text` in characters that this terminal can show, none of which controls it; for labels, so before widths
        are counted."""
        text = harmless(text)
        return text if self.unicode else plain(text)

    def fit(self, text: str, width: int) -> str:
        """Exactly `width` cells of `text`: cut with "…" or filled with spaces, however wide its characters are."""
        text = self.text(text)
        if cell_len(text) <= width:
            return text + " " * (width - cell_len(text))
        return set_cell_size(text, max(0, width - 1)) + ("…" if self.unicode else "~")[:width]

    def fit_right(self, text: str, width: int) -> str:
        """The same, against the right edge."""
        text = self.text(text)
        return " " * (width - cell_len(text)) + text if cell_len(text) < width else self.fit(text, width)

    def line(self, text: Text | str = "") -> None:
        """One line of a picture; longer ones are not folded, and nothing but spaces at the end is left out."""
        text = ink(text) if isinstance(text, str) else text.copy()
        text.rstrip()
        self.console.print(text if self.unicode else _plain(text), soft_wrap=True)

    def say(self, text: str, *, style: str = "", indent: int = 2) -> None:
        """A sentence, folded at the width."""
        words = ink(self.text(text), style)
        for folded in words.wrap(self.console, self.width - indent):
            folded.rstrip()
            self.line(ink(" " * indent) + folded)

    def heading(self, title: str, what: str = "") -> None:
        """An empty line, a bold title, and what the reader is about to see."""
        self.line()
        self.line(ink(self.text(title), STRONG))
        if what:
            self.say(what, style=FAINT)


def _plain(text: Text) -> Text:
    plain = Text(text.plain.translate(PLAIN), text.style)
    plain.spans = list(text.spans)  # one character for one: every span stays where it was
    return plain


def screen(file: TextIO | None = None) -> Screen:
    """The screen behind standard output."""
    from rich.console import Console

    file = sys.stdout if file is None else file
    console = Console(
        file=file, color_system=None if _colourless(file) else "standard", highlight=False, markup=False, emoji=False
    )
    return Screen(console, max(NARROWEST, min(console.width, WIDEST)), can_show_unicode(file))


def _colourless(file: TextIO) -> bool:
    forced = bool(os.environ.get("FORCE_COLOR"))
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not (forced or file.isatty())
