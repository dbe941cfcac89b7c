"""Writes docs/terminal.svg: what `cutaway trace` shows, from a real run of the default model.

python scripts/make_terminal_picture.py
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from cutaway.cli.overview import overview
from cutaway.cli.reading import open_model
from cutaway.cli.render_trace import show_overview
from cutaway.cli.terminal import Screen

TARGET = Path(__file__).parent.parent / "docs" / "terminal.svg"
TEXT = "The robots will bring peace. The robots will bring"
WIDTH = 80

# The page's own dark colours (VISUAL.md): ground, ink, and the sixteen that a terminal brings.
THEME = TerminalTheme(
    (20, 22, 26),
    (236, 238, 241),
    [(20, 22, 26), (196, 46, 56), (142, 250, 200), (255, 164, 92), (108, 182, 255), (159, 117, 227), (88, 179, 255),
     (236, 238, 241)],
    [(91, 97, 107), (196, 46, 56), (142, 250, 200), (255, 164, 92), (108, 182, 255), (159, 117, 227), (88, 179, 255),
     (236, 238, 241)],
)  # fmt: skip


def picture() -> str:
    """The SVG. Fonts are the reader's own: nothing is fetched from anywhere."""
    console = Console(
        file=io.StringIO(),
        width=WIDTH,
        record=True,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    model = open_model(None)
    show_overview(Screen(console, WIDTH, unicode=True), overview(model, TEXT, model.ids(TEXT), -1, 10))
    svg = console.export_svg(title=f'cutaway trace "{TEXT}"', theme=THEME, unique_id="cutaway")
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
    return re.sub(r"[ \t]+\n", "\n", svg)


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
