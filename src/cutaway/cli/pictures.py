"""Pictures in characters: bars, heat maps and number lines, drawn from the values that they are given.

Each function takes values and a `Screen` and gives lines of `rich.text.Text`. A shade is a value on a stated scale;
where there are fewer cells than values, a cell shows one real value of those it stands for, the one with the largest
size. Everything can be read without colour: shares by shade, signs by two families of marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from cutaway.cli.terminal import ATTENTION, CHOSEN, FAINT, NEGATIVE, POSITIVE, STRONG, Screen, ink
from cutaway.cli.words import number

LABEL_WIDTH = 14


def bar(screen: Screen, share: float, width: int, style: str = "") -> Text:
    """`share` (0 to 1) of `width` cells, to the nearest eighth of a cell."""
    share = min(max(share, 0.0), 1.0)
    glyphs = screen.glyphs
    steps = len(glyphs.eighths) + 1
    filled = round(share * width * steps)
    whole, part = divmod(filled, steps)
    drawn = glyphs.full * whole + (glyphs.eighths[part - 1] if part else "")
    return ink(drawn, style) + ink(" " * (width - len(drawn)))


# -- shares: one head's attention --------------------------------------------------------------------------------


def share_shade(screen: Screen, share: float) -> str:
    """A share of 1 on a square-root scale: blank under 1/64, then up to 14%, 39%, 77% and beyond."""
    level = round(math.sqrt(min(max(share, 0.0), 1.0)) * 4)
    return screen.glyphs.shades[level]


@dataclass(frozen=True)
class Grid:
    """A pattern as it is drawn: `weights` [row, column] and `masked` alike; `rows` and `columns` say from which to
    below which position each stands for."""

    weights: np.ndarray
    masked: np.ndarray
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]

    @property
    def binned(self) -> bool:
        return any(stop - start > 1 for start, stop in (*self.rows, *self.columns))


def spans(n: int, most: int) -> tuple[tuple[int, int], ...]:
    """0 … n cut into at most `most` runs of equal length (the last may be shorter)."""
    step = max(1, -(-n // most))
    return tuple((start, min(start + step, n)) for start in range(0, n, step))


def attention_map(screen: Screen, grid: Grid, labels: Sequence[str]) -> list[Text]:
    """Rows are queries, columns keys. `labels`: one for each position (of rows and columns alike).

    Where a cell is wide enough it also holds the weight, in hundredths.
    """
    digits = len(str(max(stop for _, stop in grid.columns) - 1))
    label_width = min(LABEL_WIDTH, max((_cells(screen, each) for each in labels), default=1))
    name_width = label_width + digits + 1
    if grid.binned:
        name_width = 2 * digits + 1
    room = screen.width - name_width - 3
    cell = max(1, min(6, room // max(1, len(grid.columns))))
    named = [_row_name(screen, span, labels, label_width, digits, grid.binned) for span in grid.rows]
    lines = [_header(screen, grid, labels, cell, name_width)]
    for name, weights, masked in zip(named, grid.weights, grid.masked, strict=True):
        line = ink(name + " ") + ink("│", FAINT)
        for weight, hidden in zip(weights, masked, strict=True):
            line.append_text(_attention_cell(screen, float(weight), bool(hidden), cell))
        lines.append(line + ink("│", FAINT))
    return lines


def _cells(screen: Screen, text: str) -> int:
    from rich.cells import cell_len

    return cell_len(screen.text(text))


def _row_name(
    screen: Screen, span: tuple[int, int], labels: Sequence[str], label_width: int, digits: int, binned: bool
) -> str:
    start, stop = span
    if binned:
        return screen.fit_right(f"{start}–{stop - 1}" if stop - start > 1 else str(start), 2 * digits + 1)
    return screen.fit(labels[start], label_width) + " " + str(start).rjust(digits)


def _header(screen: Screen, grid: Grid, labels: Sequence[str], cell: int, name_width: int) -> Text:
    """Above each column the label of its key, where that fits, or its number."""
    parts = []
    widest = len(str(grid.columns[-1][0]))
    every = 1 if widest < cell or cell >= 2 >= widest else -(-(widest + 1) // cell)
    for at, (start, _) in enumerate(grid.columns):
        if cell >= 4 and not grid.binned:
            parts.append(screen.fit(labels[start], cell - 1) + " ")
        elif at % every == 0:
            parts.append(str(start).ljust(cell * every)[: cell * min(every, len(grid.columns) - at)])
    return ink(" " * (name_width + 2) + "".join(parts), FAINT)


def _attention_cell(screen: Screen, weight: float, masked: bool, cell: int) -> Text:
    if masked:
        return ink(screen.glyphs.masked * cell, FAINT)
    shade = share_shade(screen, weight)
    if cell < 5:
        return ink(shade * cell, ATTENTION)
    figure = f"{100 * weight:.0f}"
    return ink(shade * 2, ATTENTION) + ink(figure.rjust(3)) + ink(" " * (cell - 5))


def attention_legend(screen: Screen) -> Text:
    """What the shades stand for."""
    line = ink("  shades: ", FAINT)
    for share, words in ((0.0, "under 2%"), (0.06, "to 14%"), (0.25, "to 39%"), (0.5, "to 77%"), (1.0, "above")):
        if share:
            line.append(share_shade(screen, share) * 2 + " ", ATTENTION)
        line.append(("blank " if not share else "") + words + "  ", FAINT)
    return line + ink(screen.glyphs.masked * 2 + " masked", FAINT)


# -- signed values: any site -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Linear to ±`c`, beyond it saturated: the median over rows of each row's 99th percentile of |x|, so that one
    huge dimension does not turn all others blank. `largest` is the true maximum of |x|."""

    c: float
    largest: float


def scale_of(array: np.ndarray) -> Scale:
    """From the finite values of an array, rows along its last axis."""
    rows = np.abs(np.where(np.isfinite(array), array, 0)).reshape(-1, array.shape[-1])
    c = float(np.median(np.percentile(rows, 99, axis=1))) if rows.size else 0.0
    largest = float(rows.max()) if rows.size else 0.0
    return Scale(c or largest or 1.0, largest)


def stripe(screen: Screen, values: np.ndarray, scale: Scale, width: int) -> Text:
    """[feature] -> one line of at most `width` cells; each cell the value of its bin with the largest size."""
    line = Text()
    for start, stop in spans(len(values), width):
        part = values[start:stop]
        finite = part[np.isfinite(part)]
        if finite.size == 0:
            line.append(screen.glyphs.masked, FAINT)
            continue
        value = float(finite[np.abs(finite).argmax()])
        level = min(4, round(4 * abs(value) / scale.c))
        marks, style = (screen.glyphs.shades, POSITIVE) if value >= 0 else (screen.glyphs.minus_shades, NEGATIVE)
        line.append(marks[level], style)
    return line


def stripe_legend(screen: Screen, scale: Scale, per_cell: int) -> Text:
    """What the marks stand for, and how many values a cell does."""
    line = ink("  ")
    line.append(screen.glyphs.minus_shades[:0:-1], NEGATIVE)
    line.append(f" −{number(scale.c)} … 0 … {number(scale.c)} ", FAINT)
    line.append(screen.glyphs.shades[1:], POSITIVE)
    beyond = f" (largest size {number(scale.largest)})" if scale.largest > scale.c else ""
    reduced = f"; 1 cell = the largest of {per_cell}" if per_cell > 1 else "; 1 cell = 1 value"
    line.append(beyond + reduced, FAINT)
    return line


# -- a random number on the cumulative distribution --------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One token's part of the line from 0 to 1."""

    label: str
    low: float
    high: float
    chosen: bool = False


def number_line(screen: Screen, parts: Sequence[Part], u: float, width: int) -> list[Text]:
    """The line from 0 to 1 with each token's part in turn light and dark, the chosen one full, and a mark under `u`.

    A cell shows the token that owns its middle, save the one that `u` falls into, which shows the chosen token. What
    no given part covers is left blank: the many unlikely others.
    """
    ordered = sorted(parts, key=lambda each: each.low)
    at = min(width - 1, int(u * width))
    line = ink("0", FAINT) + ink("│", FAINT)
    shades = screen.glyphs.shades
    for cell in range(width):
        middle = u if cell == at else (cell + 0.5) / width
        owner = next((i for i, each in enumerate(ordered) if each.low <= middle < each.high), None)
        if owner is None:
            line.append(" ")
        elif ordered[owner].chosen:
            line.append(shades[4], CHOSEN)
        else:
            line.append(shades[1 + owner % 2])
    mark = ink(" " * (2 + at)) + ink("▲", STRONG)
    names = _names_below(screen, ordered, width)
    return [line + ink("│", FAINT) + ink("1", FAINT), mark, *([names] if names is not None else [])]


def _names_below(screen: Screen, ordered: Sequence[Part], width: int) -> Text | None:
    """Labels of the parts that are wide enough to carry one."""
    line, filled = ink("  "), 0
    for each in ordered:
        start, stop = round(each.low * width), round(each.high * width)
        room = stop - start - 1
        if start < filled or room < 3:
            continue
        line.append(" " * (start - filled))
        line.append(
            screen.fit(each.label, min(room, max(3, _cells(screen, each.label)))), CHOSEN if each.chosen else FAINT
        )
        filled = start + min(room, max(3, _cells(screen, each.label)))
    return line if filled else None
