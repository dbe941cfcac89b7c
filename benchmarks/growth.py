"""How the cost grows: with the length of the text, with the number of blocks, with the number of texts at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from benchmarks.measure import Options, model_path, rounds
from benchmarks.side import Missing, Side
from benchmarks.work import Figure, decoding_limit, default_model, prefill_limit, seconds

LENGTHS = (16, 64, 256, 1024, 4096)
BLOCKS = (1, 5, 10, 20, 30)
TEXTS = (1, 2, 4, 8, 16)
THREADS = 2
SIX = [5127, 15171, 18766, 3629, 288, 919]


def _ids(n: int) -> list[int]:
    return (SIX * (1 + n // len(SIX)))[:n]


def _figure(what: str, value: str, axis: str, at: tuple[int, ...], **lines: Any) -> Figure:
    return Figure(what, value, series={"axis": axis, "at": list(at), "lines": lines})


def length(options: Options) -> list[Figure]:
    """Prefill of n tokens, and a step behind n tokens, beside llama.cpp and beside the machine's limit."""
    steps = 12
    prefill: dict[str, list[float]] = {"Cutaway": []}
    decode: dict[str, list[float]] = {"Cutaway": []}
    with contextlib.ExitStack() as stack:
        sides = {"Cutaway": stack.enter_context(Side("cutaway", threads=THREADS, path=model_path()))}
        with contextlib.suppress(Missing):
            flash = Side("llama", threads=THREADS, path=model_path(), flash_attention=True, n_ctx=4608)
            sides["llama.cpp"] = stack.enter_context(flash)
            prefill["llama.cpp"], decode["llama.cpp"] = [], []
        for n in LENGTHS:
            count, most = (5, 20.0) if n < 1000 else (1, 5.0)
            for store, run in (
                (prefill, lambda side, n=n: side.do("prefill", ids=_ids(n))["seconds"]),
                (decode, lambda side, n=n: side.do("decode", ids=_ids(n), n=steps)["seconds"] / steps),
            ):
                work: dict[str, Callable[[], float]] = {
                    name: (lambda side=side, run=run: run(side))  # type: ignore[misc]
                    for name, side in sides.items()
                }
                times = rounds(work, count, warm=int(n < 1000), most=most)
                for name, each in times.items():
                    store[name].append(sorted(each)[len(each) // 2])
    shape = default_model()
    least = [prefill_limit(shape, n, THREADS) for n in LENGTHS]
    if all(least):
        prefill["least"] = [each.seconds for each in least if each]
    least = [decoding_limit(shape, n, THREADS) for n in LENGTHS]
    if all(least):
        decode["least"] = [each.seconds for each in least if each]
    first, last = LENGTHS[0], LENGTHS[-1]
    grown = prefill["Cutaway"][-1] / prefill["Cutaway"][0]
    return [
        _figure("prefill by length", f"{last // first}× the tokens, {grown:.0f}× the time",
                "tokens", LENGTHS, **prefill),
        _figure("one step by what was read before", f"{seconds(decode['Cutaway'][0])} behind {first} tokens,"
                f" {seconds(decode['Cutaway'][-1])} behind {last:,}", "tokens before", LENGTHS, **decode),
    ]  # fmt: skip


def layers(options: Options) -> list[Figure]:
    """The same model with only its first blocks: a step behind 32 tokens, and a pass over 128."""
    decode, prefill = [], []
    for n in BLOCKS:
        with Side("cutaway", threads=THREADS, path=model_path(), n_layer=n) as side:
            work: dict[str, Callable[[], float]] = {
                "decode": lambda side=side: side.do("decode", ids=_ids(32), n=24)["seconds"] / 24,  # type: ignore[misc]
                "prefill": lambda side=side: side.do("prefill", ids=_ids(128))["seconds"],  # type: ignore[misc]
            }
            times = rounds(work, 5)
            decode.append(sorted(times["decode"])[2])
            prefill.append(sorted(times["prefill"])[2])
    each = (decode[-1] - decode[0]) / (BLOCKS[-1] - BLOCKS[0])
    return [
        _figure("one step by blocks", f"{seconds(each)} a block", "blocks", BLOCKS, Cutaway=decode),
        _figure("a pass over 128 tokens by blocks",
                f"{seconds((prefill[-1] - prefill[0]) / (BLOCKS[-1] - BLOCKS[0]))} a block",
                "blocks", BLOCKS, Cutaway=prefill),
    ]  # fmt: skip


def batch(options: Options) -> list[Figure]:
    """Texts of 16 tokens, traced in one pass, against the same one after another."""
    together, apart = [], []
    with Side("cutaway", threads=THREADS, path=model_path()) as side:
        for n in TEXTS:
            texts = [[(each + 31 * i) % 49152 for each in _ids(16)] for i in range(n)]
            work: dict[str, Callable[[], float]] = {
                "together": lambda texts=texts: side.do("batch", texts=texts)["seconds"],  # type: ignore[misc]
                "apart": lambda texts=texts: sum(side.do("batch", texts=[each])["seconds"] for each in texts),  # type: ignore[misc]
            }
            times = rounds(work, 5)
            together.append(sorted(times["together"])[2])
            apart.append(sorted(times["apart"])[2])
    lines = {"in one pass": together, "one after another": apart}
    return [_figure("texts of 16 tokens at once", f"16 texts in {together[-1] / together[0]:.1f}× the time of one",
                    "texts", TEXTS, **lines)]  # fmt: skip
