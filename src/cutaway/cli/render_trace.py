"""The view that `cutaway trace TEXT` shows: pieces, attention, how the prediction forms, what comes next."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from cutaway.cli.overview import Overview
from cutaway.cli.pictures import Grid, attention_legend, attention_map, bar, spans
from cutaway.cli.terminal import ATTENTION, CHOSEN, FAINT, STRONG, Screen, ink
from cutaway.cli.words import number, percent, plural

LABEL = 16
PIECES_SHOWN = 48
PIECES_EXPECTED = 256
KEYS_SHOWN = 10
STAGES_SHOWN, LATE_STAGES = 16, 10
CONTINUATION = 16
MAP_SHOWN = 10
MAP_CELLS = 30


def label(token: Any) -> str:
    """A piece as a label: spaces as ·, bytes as ‹E2›."""
    return str(getattr(token, "display", token.text))


def show_overview(screen: Screen, found: Overview) -> None:
    """Everything, from the text to its continuation."""
    _title(screen, found)
    show_changes(screen, found)
    _pieces(screen, found)
    _attention(screen, found)
    _lens(screen, found)
    show_next(screen, found)
    _continuation(screen, found)


def _title(screen: Screen, found: Overview) -> None:
    c = found.model.config
    screen.line(
        ink(screen.text(found.model.name or c.architecture), STRONG)
        + ink(
            screen.text(f"  {plural(c.n_layer, 'block')} × {plural(c.n_head, 'head')}, {c.d_model} numbers wide"),
            FAINT,
        )
    )


def show_changes(screen: Screen, found: Overview) -> None:
    """What somebody changed, so that nobody takes these numbers for the model's own."""
    bound = found.trace.interventions.bound
    if bound:
        screen.heading("Changed", "Every number below is of a model in which:")
    for each in bound[:6]:
        where = ", ".join(f"{axis} {_index(index)}" for axis, index in each.selection.items())
        screen.say(f"{each.site}{' (' + where + ')' if where else ''}: {each.action}", indent=4)
    if len(bound) > 6:
        screen.say(f"and {len(bound) - 6} more", indent=4)


def _index(index: Any) -> str:
    if isinstance(index, slice):
        return f"{'' if index.start is None else index.start}:{'' if index.stop is None else index.stop}"
    return str(index)


# -- pieces ------------------------------------------------------------------------------------------------------


def _pieces(screen: Screen, found: Overview) -> None:
    tokens = found.trace.tokens
    split = any("‹" in label(each) for each in tokens)
    expected = _expected(found)
    what = f"The text as the model reads it: {plural(len(tokens), 'piece')}. Under each its number in the vocabulary"
    what += " and how likely the model held it, from the pieces before it." if expected else "."
    screen.heading("1 Pieces", what + (" ‹E2› is one byte of a split character." if split else ""))
    columns = []
    for at in _some(len(tokens), PIECES_SHOWN):
        if at is None:
            columns.append(("…", "…", "…"))
        else:
            chance = percent(expected[at - 1]) if expected and at else ""
            columns.append((screen.text(label(tokens[at])), str(tokens[at].id), chance))
    row: list[tuple[str, str, str]] = []
    width = 0
    for column in columns:
        cells = min(screen.width - 4, max(cell_len(each) for each in column)) + 2
        if row and width + cells > screen.width - 2:
            _row_of_pieces(screen, row)
            row, width = [], 0
        row.append(column)
        width += cells
    _row_of_pieces(screen, row)


def _row_of_pieces(screen: Screen, row: Sequence[tuple[str, str, str]]) -> None:
    lines = [ink("  "), ink("  "), ink("  ")]
    for column in row:
        cells = min(screen.width - 4, max(cell_len(each) for each in column))
        for line, text, style in zip(lines, column, (STRONG, FAINT, FAINT), strict=True):
            line.append(screen.fit(text, cells) + "  ", style)
    for line in lines:
        line.rstrip()
        if line.plain.strip():
            screen.line(line)


def _some(n: int, most: int) -> list[int | None]:
    """0 … n − 1, or the first and last of them around a None."""
    if n <= most:
        return list(range(n))
    return [*range(most // 2), None, *range(n - most // 2, n)]


def _expected(found: Overview) -> list[float]:
    """The probability of each piece after the first."""
    if not 2 <= len(found.trace) <= PIECES_EXPECTED:
        return []
    from cutaway.analysis.score import score

    return [float(each) for each in np.exp(-score(found.trace).losses)]


# -- attention ---------------------------------------------------------------------------------------------------


def _attention(screen: Screen, found: Overview) -> None:
    config, tokens = found.model.config, found.trace.tokens
    query = screen.text(label(tokens[found.position]))
    n = config.n_layer * config.n_head
    screen.heading(
        "2 Attention",
        f"Each of the {n} heads lets “{query}” look back. For each piece: how many heads look there most, and the one"
        " that does so most. (The first piece is set aside: heads often rest there when they find nothing.)"
        if found.heads
        else f"“{query}” is the first piece: its {n} heads have nothing to look back at.",
    )
    by_key: dict[int, list[Any]] = {}
    for head in found.heads:  # strongest first
        by_key.setdefault(head.key, []).append(head)
    shown = sorted(sorted(by_key, key=lambda key: -by_key[key][0].weight)[:KEYS_SHOWN])
    width = max(8, screen.width - LABEL - 46)
    for key in shown:
        best = by_key[key][0]
        here = " (itself)" if key == found.position else ""
        line = ink("  " + screen.fit_right(label(tokens[key]), LABEL) + " ")
        line.append_text(bar(screen, best.weight, width, ATTENTION))
        line.append(f" {percent(best.weight):>6}")
        line.append(f"  block {best.layer} head {best.head}".ljust(19), FAINT)
        line.append(f"{plural(len(by_key[key]), 'head')}{here}", FAINT)
        screen.line(line)
    if len(by_key) > len(shown):
        screen.say(f"and {plural(len(by_key) - len(shown), 'more piece')}", style=FAINT, indent=LABEL + 3)
    elsewhere = [each for each in found.heads if each.key != found.position]
    if elsewhere and 3 <= len(found.trace) <= MAP_SHOWN:
        best = elsewhere[0]
        screen.line()
        screen.say(
            f"All of block {best.layer} head {best.head}: each row is a piece looking at those before it, in %."
        )
        show_pattern(screen, found.trace, best.layer, best.head)


def show_pattern(screen: Screen, trace: Any, layer: int, head: int) -> None:
    """One head's pattern as a heat map. Raises `BadSelection` for a block or head that is not there."""
    tokens = [label(each) for each in trace.tokens]
    most = max(8, min(60, (screen.width - 20) // 2)) if len(tokens) <= MAP_CELLS else MAP_CELLS
    grid = pattern_grid(trace, layer, head, most)
    for line in attention_map(screen, grid, tokens):
        screen.line(ink("  ") + line)
    screen.line(attention_legend(screen))
    if grid.binned:
        rows, columns = grid.rows[0][1], grid.columns[0][1]
        screen.say(
            f"Each cell stands for {rows} × {columns} weights and shows one of them, the largest. Rows are queries,"
            " columns keys, numbered from 0.",
            style=FAINT,
        )


def pattern_grid(trace: Any, layer: int, head: int, most: int) -> Grid:
    """The pattern of one head, reduced to at most `most` rows and columns, each cell the largest weight of its bin;
    read some rows at a time. A bin is masked where all of it is."""
    n = len(trace.ids)
    rows, columns = spans(n, most), spans(n, most)
    weights = np.zeros((len(rows), len(columns)), dtype=np.float32)
    masked = np.zeros(weights.shape, dtype=np.bool_)
    starts = [start for start, _ in columns]
    for at, (start, stop) in enumerate(rows):
        some = {"head": head, "q_pos": slice(start, stop)}
        pattern = trace.read(f"blocks.{layer}.attn.pattern", **some)
        hidden = np.isneginf(trace.read(f"blocks.{layer}.attn.attn_scores", **some))
        weights[at] = np.maximum.reduceat(pattern.max(axis=0), starts)
        masked[at] = np.logical_and.reduceat(hidden.all(axis=0), starts)
    return Grid(weights, masked, rows, columns)


# -- how the prediction forms ------------------------------------------------------------------------------------


def _lens(screen: Screen, found: Overview) -> None:
    lens = found.lens
    n = len(lens.sites)
    if not lens.tokens or lens.top_ids.shape[1] == 0:
        return
    final = screen.text(label(found.model.token(lens.tokens[0])))
    shown = stages_shown(n)
    thinned = " (some early blocks left out)" if len(shown) < n else ""
    screen.heading(
        "3 How the prediction forms",
        f"What the model would say if it stopped there{thinned}, and the rank and probability of “{final}”, with"
        " which it ends. Early rows are often nonsense: the blocks after them were trained to go on from there.",
    )
    width = max(8, screen.width - 60)
    header = " " * 17 + "it would say".ljust(LABEL + 10) + f"rank and probability of {final}"
    screen.line(ink(screen.fit(header, screen.width), FAINT))
    for i in shown:
        token = found.model.token(int(lens.top_ids[i, 0]))
        site = lens.sites[i]
        where = "before block 0" if site.endswith("resid_pre") else f"after block {site.split('.')[1]}"
        same = int(lens.top_ids[i, 0]) == lens.tokens[0]
        line = ink("  " + where.ljust(15), FAINT)
        line.append(screen.fit(label(token), LABEL), CHOSEN if same else "")
        line.append(f" {percent(float(lens.top_probability[i, 0])):>7}")
        line.append(f"{'#' + format(int(lens.rank[i, 0]), ','):>9} ", CHOSEN if same else FAINT)
        line.append(f"{percent(float(lens.probability[i, 0])):>7} ")
        screen.line(line + bar(screen, float(lens.probability[i, 0]), width, CHOSEN))


def stages_shown(n: int) -> list[int]:
    """All, or where there are many: the last ones, where predictions settle, and some of the rest, evenly spaced."""
    if n <= STAGES_SHOWN:
        return list(range(n))
    late = range(n - LATE_STAGES, n)
    early = np.linspace(0, late[0] - 1, STAGES_SHOWN - LATE_STAGES).round().astype(int)
    return [*early.tolist(), *late]


# -- what comes next ---------------------------------------------------------------------------------------------


def show_next(screen: Screen, found: Overview, title: str = "4 What comes next") -> None:
    """The likeliest next tokens: probability over the whole vocabulary, as bars, and the logits."""
    n_vocab = found.model.config.n_vocab
    after = screen.text(label(found.trace.tokens[found.position]))
    what = f"The likeliest pieces after “{after}”, of {n_vocab:,}: probability and logit (the model's raw score)."
    if found.unchanged is not None:
        what += " In brackets the probability without the change."
    screen.heading(title, what)
    width = max(8, screen.width - LABEL - (38 if found.unchanged is None else 48))
    for i, (token, probability, logit) in enumerate(found.next_tokens):
        line = ink("  " + screen.fit_right(label(token), LABEL) + " ")
        line.append_text(bar(screen, probability, width, CHOSEN))
        line.append(f" {percent(probability):>7}")
        if found.unchanged is not None:
            line.append(f" ({percent(found.unchanged[i])})".ljust(11), FAINT)
        line.append(f" {number(logit):>6}", FAINT)
        screen.line(line)
    rest = 1 - sum(each.probability for each in found.next_tokens)
    if 0 < len(found.next_tokens) < n_vocab:
        others = f"the other {n_vocab - len(found.next_tokens):,}"
        screen.line(
            ink("  " + screen.fit_right(others, LABEL) + " ", FAINT)
            + bar(screen, rest, width, FAINT)
            + ink(f" {percent(max(0.0, rest)):>7}", FAINT)
        )


def _continuation(screen: Screen, found: Overview) -> None:
    if found.model.tokenizer is None:
        return
    screen.heading("5 And so on", f"Always the likeliest piece, {CONTINUATION} times:")
    steps = found.model.generate(list(found.trace.ids), max_new_tokens=CONTINUATION, temperature=0)
    written = "".join(step.text for step in steps)
    for line in two_styles(screen, (found.text, FAINT), (written, STRONG)):
        screen.line(line)


def two_styles(screen: Screen, *parts: tuple[str, str]) -> list[Text]:
    """Running text in several styles, folded; of a long beginning only the end."""
    text = Text()
    for part, style in parts:
        flat = screen.text(part)
        text.append("…" + flat[-200:] if style == FAINT and len(flat) > 200 else flat, style)
    folded = text.wrap(screen.console, screen.width - 4)
    for line in folded:
        line.rstrip()
    return [ink("  ") + line for line in folded]


def hints(screen: Screen, found: Overview) -> None:
    """What to ask next."""
    best = next((each for each in found.heads if each.key != found.position), None)
    layer, head = (best.layer, best.head) if best is not None else (0, 0)
    screen.heading("Look further")
    text = "TEXT"
    for command, what in (
        (f"cutaway trace {text} --layer {layer} --head {head}", "one head, all of it"),
        (f"cutaway trace {text} --zero blocks.{layer}.attn.z:head={head}", "switch it off and see"),
        (f"cutaway trace {text} --explain blocks.{layer}.attn.qk:{head},1,0", "where a number comes from"),
    ):
        screen.line(ink("  " + textwrap.shorten(command, screen.width - 28) + "  ") + ink(what, FAINT))
