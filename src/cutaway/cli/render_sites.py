"""One site as stripes of values, and one number with what it was computed from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cutaway.cli.pictures import Scale, bar, scale_of, spans, stripe, stripe_legend
from cutaway.cli.render_trace import label
from cutaway.cli.terminal import FAINT, NEGATIVE, POSITIVE, STRONG, Screen, ink
from cutaway.cli.words import number

if TYPE_CHECKING:
    from cutaway.trace.explain import Explanation, Source
    from cutaway.trace.trace import Trace

ROWS_SHOWN = 12
TERMS_SHOWN = 8
BYTES_AT_ONCE = 16 << 20


def show_site(screen: Screen, trace: Trace, name: str, position: int) -> None:
    """Name, shape, range, and one stripe a row: positions, or the heads at `position`."""
    site = trace.sites[name]
    sizes = [trace.axis_sizes[axis] for axis in site.axes]
    low, high, scale = _range(trace, name)
    shape = " × ".join(f"{axis} {n:,}" for axis, n in zip(site.axes, sizes, strict=True))
    screen.line()
    screen.line(
        ink(screen.text(name), STRONG) + ink(screen.text(f"  {shape}   {number(low)} … {number(high)}"), FAINT)
    )
    screen.say(site.meaning, style=FAINT)
    labels, rows = _rows(trace, name, position)
    if "head" in site.axes[:2] or "kv_head" in site.axes[:2]:
        screen.say(
            f"At position {position}, “{screen.text(label(trace.tokens[trace.start + position]))}”:", style=FAINT
        )
    width = screen.width - 22
    per_cell = spans(rows.shape[1], width)[0][1]
    for at in _some(len(rows)):
        if at is None:
            screen.line(ink("  " + screen.fit_right("…", 17), FAINT))
            continue
        line = ink("  " + screen.fit_right(labels[at], 17) + " ", FAINT)
        screen.line(line + ink("│", FAINT) + stripe(screen, rows[at], scale, width) + ink("│", FAINT))
    screen.line(stripe_legend(screen, scale, per_cell))


def _some(n: int) -> list[int | None]:
    half = ROWS_SHOWN // 2
    return list(range(n)) if n <= ROWS_SHOWN else [*range(half), None, *range(n - half, n)]


def _rows(trace: Trace, name: str, position: int) -> tuple[list[str], np.ndarray]:
    """Labels and values [row, feature]; masked scores stay -inf."""
    axes = trace.sites[name].axes
    tokens = [label(each) for each in trace.tokens[trace.start :]]
    if axes[0] in ("head", "kv_head"):  # [head, q_pos, k_pos]
        rows = trace.read(name, q_pos=position)
    elif len(axes) == 3:  # [pos, head, feature]
        rows = trace.read(name, pos=position)
    elif axes[-1] == "one":
        return [""], trace.read(name).reshape(1, -1)
    else:
        shown = [at for at in _some(len(tokens)) if at is not None]
        array = np.zeros((len(tokens), trace.axis_sizes[axes[-1]]), dtype=np.float32)
        array[shown] = trace.read(name, pos=shown)
        return [f"{each} {at}" for at, each in enumerate(tokens)], array
    return [f"head {at}" for at in range(len(rows))], rows


def _parts(trace: Trace, name: str) -> Iterator[np.ndarray]:
    """The site some rows at a time, never much of it at once."""
    axes = trace.sites[name].axes
    sizes = [trace.axis_sizes[axis] for axis in axes]
    step = max(1, BYTES_AT_ONCE // (4 * math.prod(sizes[1:])))
    for start in range(0, sizes[0], step):
        yield trace.read(name, **{axes[0]: slice(start, start + step)})


def _range(trace: Trace, name: str) -> tuple[float, float, Scale]:
    low, high, scales = math.inf, -math.inf, []
    for part in _parts(trace, name):
        finite = part[np.isfinite(part)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        scales.append(scale_of(part))
    return low, high, Scale(float(np.median([each.c for each in scales])), max(each.largest for each in scales))


# -- where a number came from ------------------------------------------------------------------------------------


def show_explanation(screen: Screen, found: Explanation) -> None:
    """The number, its formula, its inputs, and for a sum of products the largest terms."""
    where = ", ".join(f"{axis} {i}" for axis, i in zip(found.axes, found.index, strict=True))
    screen.line()
    screen.line(
        ink(screen.text(found.site), STRONG)
        + ink(screen.text(f" ({where}) = "), FAINT)
        + ink(number(found.value), STRONG)
    )
    screen.say(f"{found.meaning} ({found.source})", style=FAINT)
    screen.say("= " + readable_formula(found.latex))
    screen.line()
    for source in found.inputs:
        _source(screen, source)
    terms = _terms(found)
    if terms is not None:
        _show_terms(screen, *terms, found.result)
    if found.changed_by:
        screen.say(f"the formula gives {number(found.result)}; then changed by: "
                   + ", ".join(each.action for each in found.changed_by))  # fmt: skip
    else:
        screen.say(f"computed again from these: {found.result:.9g}".replace("-", "−"), style=FAINT)


def _source(screen: Screen, source: Source) -> None:
    where = ", ".join(
        f"{axis} {_extent(index)}" for axis, index in zip(source.axes, source.index, strict=True) if axis != "one"
    )
    values = source.values.reshape(-1)
    line = ink("  " + screen.fit(source.name, 24) + " ")
    line.append(screen.fit(where, 26) + " ", FAINT)
    shown = "  ".join(number(float(each)) for each in values[:3]) + ("  …" if values.size > 3 else "")
    screen.line(line + ink(shown))


def _extent(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else f"{index[0]}–{index[-1]}" if index else "none"


def _terms(found: Explanation) -> tuple[np.ndarray, float, Any] | None:
    """The terms of a dot product or a sum, what is added to it, and the source whose index counts them; None where
    the formula is something else. It is what it adds up to that tells: terms and rest must give the result."""
    arrays = [np.asarray(each.values, dtype=np.float64).reshape(-1) for each in found.inputs]
    long = [(array, source) for array, source in zip(arrays, found.inputs, strict=True) if array.size > 1]
    rest = sum(float(array[0]) for array in arrays if array.size == 1)
    if not long or len(long) > 2 or len({array.size for array, _ in long}) > 1:
        return None
    products = np.prod([array for array, _ in long], axis=0)
    off = abs(float(products.sum()) + rest - found.result)
    if not math.isfinite(off) or off > 1e-4 * (float(np.abs(products).sum()) + abs(rest)):
        return None
    return products, rest, long[0][1]


def _show_terms(screen: Screen, products: np.ndarray, rest: float, source: Source, result: float) -> None:
    order = np.argsort(-np.abs(products), kind="stable")[:TERMS_SHOWN]
    axis = next((axis for axis, index in zip(source.axes, source.index, strict=True) if len(index) > 1), "")
    index = next((index for index in source.index if len(index) > 1), tuple(range(products.size)))
    largest = float(np.abs(products[order]).max()) or 1.0
    width = max(8, (screen.width - 44))
    screen.line()
    for at in order:
        value = float(products[at])
        line = ink(
            "  " + screen.fit_right(f"{axis} {index[at]}" if len(index) == products.size else f"term {at}", 22) + " "
        )
        line.append_text(bar(screen, abs(value) / largest, width, POSITIVE if value >= 0 else NEGATIVE))
        screen.line(line + ink(f" {number(value):>10}"))
    others = float(products.sum()) - float(products[order].sum())
    n = products.size - len(order)
    for words, value in (
        (f"the other {n:,}" if n > 1 else "the other one", others if n else 0.0),
        ("added to the sum", rest),
    ):
        if value:
            screen.line(
                ink("  " + screen.fit_right(words, 22) + " " * (width + 1), FAINT) + ink(f" {number(value):>10}")
            )
    screen.line(
        ink("  " + screen.fit_right("together", 22) + " " * (width + 1), FAINT)
        + ink(f" {number(result):>10}", STRONG)
    )


_SIGNS = {
    r"\cdot": "·", r"\odot": "⊙", r"\sum": "Σ", r"\varepsilon": "ε", r"\infty": "∞", r"\textstyle": "", r"\,": " ",
    r"\tfrac": r"\frac", r"\_": "_",
}  # fmt: skip


def readable_formula(latex: str) -> str:
    """The declared formula in one line of plain characters: "q·k / √d_head"."""
    text = latex
    for sign, character in _SIGNS.items():
        text = text.replace(sign, character)
    text = re.sub(r"\\begin\{cases\}(.*?)&(.*?)\\\\(.*?)&(.*?)\\end\{cases\}", r"\1 \2, \3 \4", text)
    text = re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\bar\s*(\w)", "mean(\\1)", text)
    text = re.sub(r"\\hat\s*(\w)", "normalized \\1", text)
    text = re.sub(r"\\frac(\w)(\w)", r"\1/\2 ", text)
    text = re.sub(r"_\{([^{}]*)\}", r"_\1 ", text)
    text = re.sub(r"\^\{?2\}?", "²", text)
    text = re.sub(
        r"\\sqrt\{([^{}]*)\}", lambda found: "√" + (f"({found[1]})" if re.search(r"\W", found[1]) else found[1]), text
    )
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / \2", text)
    text = re.sub(r"\s*·\s*", "·", " ".join(text.split()).replace("-", "−"))
    return re.sub(r"\s+([,;)²])", r"\1", text)
