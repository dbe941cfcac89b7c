"""docs/benchmarks.md and its chart, of the kept results."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.limits import Seen, most
from benchmarks.work import seconds

DISTURBED = 0.2  # cores that others may use while a row is measured, before its figures are doubted
# What profiles showed (November 2026) where a bar was missed; said only while it is.
IN_THE_WAY = {
    "captured": (
        "of six tokens' pass a quarter is Python around the kernels (names of 665 sites matched, their arrays made"
        " and frozen), the rest products of few rows that read every weight"
    ),
    "captured-long": (
        "1.4 GB of arrays: the pass takes 0.35 s alone, all logits 0.08, writing the rest 0.03, when their memory is"
        " at hand; fetching it anew from the host of a virtual machine takes as long as everything else"
    ),
    "lookup": (
        "a draft is checked at 170 GFLOP/s a thread, of 247: a row more costs a fifth to a quarter of a step, and"
        " about half of the tokens can be guessed"
    ),
    "start": (
        "a quarter is Python importing NumPy, an eighth the vocabulary's lists, an eighth the pass, an eighth Typer"
    ),
}
DOCS = Path(__file__).parent.parent / "docs"
PAGE, CHART = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"


def write(kept: Mapping[str, Any]) -> None:
    """Both files, from results by row."""
    if not kept:
        return
    PAGE.write_text(page(kept), encoding="utf-8")
    drawn = chart(kept)
    if drawn:
        CHART.write_text(drawn, encoding="utf-8")


def page(kept: Mapping[str, Any]) -> str:
    figures = [(row, each) for row, one in kept.items() for each in one["figures"]]
    compared = [(row, each) for row, each in figures if not each["series"]]
    here = next(iter(kept.values()))["machine"]
    versions = sorted({version for _, each in figures for part in each["versions"] for version in part.split(", ")})
    commits = sorted({one["machine"]["commit"] for one in kept.values()})
    lines = [
        "# How fast it is",
        "",
        "Written by `make bench` (`python -m benchmarks`); one row again: `python -m benchmarks speed --only NAME`.",
        "Every comparison is a ratio in one run: each side in a process of its own, on the same file, with two",
        "threads, in rounds in which each works once; the ratio is taken round by round, its median is shown with",
        "the quartiles. A turn of the captured rows is two passes, the second timed: the host of a virtual machine",
        "takes freed memory away, and touching it again can cost more than the pass itself, on either side.",
        "Above 1× Cutaway is faster. Absolute times belong to this machine and this hour; the ratios travel better.",
        "",
        f"- Machine: {here['processor']}, {here['cores']} cores, {here['system']}; two threads on every side.",
        f"- Python {here['python']}, NumPy {here['numpy']}; {'; '.join(versions)}.",
        f"- Cutaway's kernels: {here['kernels']}; activations and sums in float32, weights as the file packs them.",
        f"- Commit {', '.join(commits)}.",
    ]
    seen: Seen = {}
    for one in kept.values():
        seen = most(seen, one["limits"])
    for n, limit in seen.items():
        lines.append(
            f"- Limits, {n} thread{'' if n == '1' else 's'}: {limit['bytes'] / 1e9:.0f} GB/s read from memory,"
            f" {limit['flops'] / 1e9:.0f} GFLOP/s in float32 (measured in C, `python -m benchmarks limits`)."
        )
    lines += [
        "",
        "| row | work | bar | goal | measured | | ours | peer | distance to the limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, each in compared:
        spread = f" ({each['quartiles'][0]:.2f}–{each['quartiles'][1]:.2f})" if each["quartiles"] else ""
        if each["quartiles"]:
            ours, peer = seconds(each["ours"]), f"{each['peer']}: {seconds(each['theirs'])}"
        else:
            ours, peer = "", each["peer"]
        others = kept[row]["others"]
        if others is not None and others > DISTURBED:
            spread += f" disturbed: other programs used {others:.1f} cores"
        said = (
            "" if each["bar"] == "(shown)" else "goal" if each["goal_met"] else "bar" if each["met"] else "**missed**"
        )
        cells = [f"`{row}`", each["what"], each["bar"], each["goal"], each["value"] + spread, said, ours, peer]
        lines.append("| " + " | ".join([*cells, each["limit"]]) + " |")
    grown = [each for _, each in figures if each["series"]]
    if grown:
        lines += ["", "## How the cost grows", "", "![Time by length, blocks and texts](benchmarks.svg)"]
    for each in grown:
        series = each["series"]
        lines += ["", f"**{each['what'][:1].upper()}{each['what'][1:]}**: {each['value']}.", ""]
        lines += ["| " + series["axis"] + " | " + " | ".join(f"{n:,}" for n in series["at"]) + " |"]
        lines += ["|---|" + "---|" * len(series["at"])]
        lines += [f"| {name} | " + " | ".join(map(seconds, line)) + " |" for name, line in series["lines"].items()]
    missed = [(row, each) for row, each in compared if not each["met"]]
    if missed:
        lines += ["", "## Missed", ""]
        for row, each in missed:
            why = f" In the way: {IN_THE_WAY[row]}." if row in IN_THE_WAY else ""
            lines.append(f"- {each['what']}: {each['value']}, the bar is {each['bar']}.{why}")
    return "\n".join(lines) + "\n"


# -- the chart -----------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 250, 62, 34, 40
INK = {"Cutaway": "#c2410c", "in one pass": "#c2410c", "llama.cpp": "#2563eb", "one after another": "#2563eb",
       "least": "#6b7280"}  # fmt: skip


def chart(kept: Mapping[str, Any]) -> str:
    """One panel for each series, both axes logarithmic, side by side; text in a colour that both themes can read."""
    found = [each for one in kept.values() for each in one["figures"] if each["series"]]
    if not found:
        return ""
    columns = min(3, len(found))
    height = math.ceil(len(found) / columns) * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * WIDTH} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        "<title>How the cost grows</title>",
        f'<rect width="{columns * WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for i, each in enumerate(found):
        inside = _panel(each["what"], each["series"])
        parts.append(f'<g transform="translate({i % columns * WIDTH} {i // columns * HEIGHT})">{inside}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, series: Mapping[str, Any]) -> str:
    xs, lines = series["at"], series["lines"]
    values = [value for line in lines.values() for value in line]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    right, foot = WIDTH - 16, HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + (right - LEFT) * math.log(value / xs[0]) / math.log(xs[-1] / xs[0])

    def y(value: float) -> float:
        return foot - (foot - TOP) * math.log(value / low) / math.log(high / low)

    parts = [f'<text x="{LEFT}" y="18" font-weight="600" fill="#111827">{html.escape(title)}</text>']
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10**power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#374151">'
                     f"{seconds(float(f'1e{power}'))}</text>")  # fmt: skip
    for value in xs:
        parts.append(f'<text x="{x(value):.1f}" y="{foot + 16}" text-anchor="middle" fill="#374151">{value:,}</text>')
    middle = (LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{foot + 32}" text-anchor="middle" fill="#374151">{html.escape(series["axis"])}</text>'
    )
    for row, (name, line) in enumerate(lines.items()):
        ink = INK.get(name, "#111827")
        points: Sequence[str] = [f"{x(at):.1f},{y(value):.1f}" for at, value in zip(xs, line, strict=True)]
        dash = ' stroke-dasharray="4 3"' if name == "least" else ""
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{ink}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{LEFT + 10}" y="{TOP + 14 + 16 * row}" fill="{ink}">{html.escape(name)}</text>')
    return "".join(parts)
