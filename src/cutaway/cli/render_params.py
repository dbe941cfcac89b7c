"""The table that `cutaway params` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cutaway.cli.pictures import bar
from cutaway.cli.terminal import ATTENTION, FAINT, POSITIVE, STRONG, Screen, ink
from cutaway.cli.words import percent, plural, size

if TYPE_CHECKING:
    from cutaway.analysis.table import ParameterTable, Row

STYLES = {"attention": ATTENTION, "MLP": POSITIVE}
DTYPES = ("F32", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0", "Q2_K")


def show_table(
    screen: Screen, table: ParameterTable, lengths: Sequence[int], stored: Mapping[str, Any] | None
) -> None:
    """By part, then bytes, then what a length costs."""
    screen.line(ink(screen.text(table.name), STRONG) + ink(f"  {table.total:,} parameters", STRONG))
    if table.note:
        screen.say(table.note, style=FAINT)
    if stored is not None:
        kinds = ", ".join(f"{n:,} in {dtype}" for dtype, n in stored["dtypes"].items())
        screen.say(f"{stored['format']}, {size(stored['file_bytes'])} on disk: {kinds}", style=FAINT)
    _parts(screen, table)
    _bytes(screen, table)
    _lengths(screen, table, lengths)


def _parts(screen: Screen, table: ParameterTable) -> None:
    for part, total in table.parts.items():
        screen.line()
        share = total / table.total
        line = ink("  " + screen.fit(part, 29), STRONG) + ink(f"{total:>19,} ", STRONG)
        line.append(f"{percent(share):>7} ", STRONG)
        screen.line(line + bar(screen, share, screen.width - 60, STYLES.get(part, "")))
        for row in table.rows:
            if row.part == part:
                _row(screen, row)
    screen.line()
    screen.line(ink("  " + screen.fit("together", 29), STRONG) + ink(f"{table.total:>19,}", STRONG))


def _row(screen: Screen, row: Row) -> None:
    count = "shared" if row.shared else f"{row.total:,}"
    line = ink("    " + screen.fit(row.name, 27) + f"{count:>19} ")
    screen.line(line + ink(f"{percent(row.share):>7}" if not row.shared else "", FAINT))
    formula = row.formula if row.shared else f"{row.formula} = {row.numbers}"
    screen.say(formula, style=FAINT, indent=6)


def _bytes(screen: Screen, table: ParameterTable) -> None:
    screen.heading("Bytes", "Of the weights, stored as each type; and those read to decode one piece.")
    screen.line(ink("  " + "stored as".ljust(12) + "weights".rjust(12) + "read per piece".rjust(18), FAINT))
    for dtype in DTYPES:
        read = table.bytes_read_per_token(dtype)
        screen.line(f"  {dtype:<12}{size(table.bytes(dtype)):>12}{size(read):>18}")


def _lengths(screen: Screen, table: ParameterTable, lengths: Sequence[int]) -> None:
    screen.heading(
        "Length", "FLOPs of reading a text of so many pieces and of decoding one more; its keys and values."
    )
    header = "pieces".rjust(10) + "read it".rjust(16) + "one more".rjust(16)
    screen.line(ink("  " + header + "keys, values F32".rjust(19) + "F16".rjust(11), FAINT))
    n_ctx = table.to_dict()["lengths"][-1]["n_tokens"]
    for n in lengths or sorted({each for each in (1, 128, 1024, n_ctx) if each <= max(n_ctx, 1024)}):
        cache = [size(table.kv_cache_bytes(n, dtype)) for dtype in ("F32", "F16")]
        screen.line(
            f"  {n:>10,}{flops(table.flops(n)):>16}{flops(table.flops_per_token(n)):>16}{cache[0]:>19}{cache[1]:>11}"
        )
    screen.say(f"One head's four matrices: {plural(table.per_head, 'parameter')}.", style=FAINT)


def flops(n: float) -> str:
    """ "292 GFLOP"."""
    for unit in ("", "k", "M", "G", "T", "P", "E"):
        if n < 999.5 or unit == "E":
            break
        n /= 1000
    return (f"{n:#.3g}".rstrip(".") if unit else f"{n:.0f}") + f" {unit}FLOP"
