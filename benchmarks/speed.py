"""The figures of the issue on speed: ratios in one run, each with its distance to the machine's limit beside it.

python -m benchmarks speed                    all rows, about ten minutes; `make bench` does it
python -m benchmarks speed --only decode      one row (several: say it again)
python -m benchmarks speed --quick            the rows that end in two minutes, `make bench-quick`

Two threads on every side, each side in a process of its own (`benchmarks.side`), rounds in which each works once, the
ratio taken round by round. Results are kept by row in results/speed.json, and docs/benchmarks.md is made of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import growth, report, work
from benchmarks.limits import limits, plain
from benchmarks.measure import Options, Others, Ratio, machine, model_path, ratio, rounds
from benchmarks.side import Missing, Side
from benchmarks.work import Figure

KEPT = Path(__file__).parent / "results/speed.json"
TEXTS = Path(__file__).parent / "texts"
SIX = [5127, 15171, 18766, 3629, 288, 919]  # "Data visualization empowers users to create"
TEXT = "Data visualization empowers users to"
THREADS = 2


def some_ids(n: int) -> list[int]:
    return (SIX * (1 + n // len(SIX)))[:n]


# -- against llama.cpp ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _with_llama() -> Iterator[tuple[Side, Side, Side]]:
    path = model_path()
    with Side("cutaway", threads=THREADS, path=path) as ours, _llama(True) as flash, _llama(False) as plain:
        yield ours, flash, plain


def _llama(flash: bool) -> Side:
    return Side("llama", threads=THREADS, path=model_path(), flash_attention=flash)


def _against_llama(times: dict[str, list[float]], ours: str = "ours") -> tuple[str, Ratio]:
    """The faster of flash attention on and off."""
    best = min(("flash attention on", "flash attention off"), key=lambda name: median(times[name]))
    return f"llama.cpp, {best}", ratio(times[best], times[ours])


def decode(options: Options) -> list[Figure]:
    """Greedy steps behind 32 tokens; and the same through `generate`, every step's lazy trace kept."""
    n, prompt = 48, some_ids(32)
    with _with_llama() as (ours, flash, plain):
        sides = {
            "ours": lambda: ours.do("decode", ids=prompt, n=n)["seconds"] / n,
            "traced": lambda: ours.do("watched", ids=prompt, n=n)["seconds"] / n,
            "flash attention on": lambda: flash.do("decode", ids=prompt, n=n)["seconds"] / n,
            "flash attention off": lambda: plain.do("decode", ids=prompt, n=n)["seconds"] / n,
        }
        times = rounds(sides, 5 if options.quick else 11)
        versions = [ours.about["version"], flash.about["version"]]
    least = work.decoding_limit(work.default_model(), 32 + n // 2, THREADS)
    figures = []
    for side, what, bar, goal in (
        ("ours", "decode", 1.0, 1.5),
        ("traced", "decode with the lazy trace kept, any site of any position readable later", 0.95, 1.45),
    ):
        peer, measured = _against_llama(times, side)
        figures.append(Figure.of_ratio(what, measured, peer, bar, goal, least, versions))
    return figures


def _prefill(n: int) -> Callable[[Options], list[Figure]]:
    def prefill(options: Options) -> list[Figure]:
        ids = some_ids(n)
        with _with_llama() as (ours, flash, plain):
            sides = {
                "ours": lambda: ours.do("prefill", ids=ids)["seconds"],
                "flash attention on": lambda: flash.do("prefill", ids=ids)["seconds"],
                "flash attention off": lambda: plain.do("prefill", ids=ids)["seconds"],
            }
            times = rounds(sides, 3 if options.quick else 9, most=40)
            versions = [ours.about["version"], flash.about["version"]]
        peer, measured = _against_llama(times)
        least = work.prefill_limit(work.default_model(), n, THREADS)
        return [Figure.of_ratio(f"prefill of {n:,} tokens", measured, peer, 2.5, 4.0, least, versions)]

    return prefill


# -- captured passes -----------------------------------------------------------------------------------------------


def captured(options: Options) -> list[Figure]:
    """Six tokens: every site that the peer's cache holds."""
    return _captured(6, 7 if options.quick else 25, {"lens": (6.0, 12.0), "transformers": (4.0, 8.0)})


def captured_long(options: Options) -> list[Figure]:
    return _captured(512, 3 if options.quick else 7, {"lens": (2.5, 5.0)})


def _captured(n: int, count: int, bars: dict[str, tuple[float, float]]) -> list[Figure]:
    ids, path = some_ids(n), model_path()
    named = {"lens": ("transformer_lens", "TransformerLens"), "transformers": ("transformers", "transformers, eager")}
    figures = []
    for key, (bar, goal) in bars.items():
        with Side("cutaway", threads=THREADS, path=path) as ours:
            side, peer_name = named[key]
            with Side(side, threads=THREADS, path=path) as peer:
                if key == "lens":
                    names = ours.do("same_as_lens", keys=peer.do("keys", ids=SIX)["keys"])["names"]
                else:
                    names = ours.do("same_as_transformers")["names"]
                size = ours.do("captured", ids=ids, names=names)

                def twice(side: Side, work: str, **given: Any) -> float:
                    """A virtual machine's host takes freed memory away, and touching it again can cost more than the
                    pass; so each turn is two passes, and the second is timed."""
                    side.do(work, ids=ids, **given)
                    return float(side.do(work, ids=ids, **given)["seconds"])

                sides = {
                    "recorded": lambda: twice(ours, "captured", names=names),  # noqa: B023
                    "replayed": lambda: twice(ours, "replayed", names=names),  # noqa: B023
                    "theirs": lambda: twice(peer, "captured"),
                }
                times = rounds(sides, count, most=30)
                versions = [ours.about["version"], peer.about["version"]]
        least = work.captured_limit(work.default_model(), n, size["bytes"], THREADS)
        what = f"captured pass of {n} tokens, {len(names)} sites, {size['bytes'] / 1e6:,.0f} MB"
        for how, figure_bar, figure_goal in (("recorded", bar, goal), ("replayed", None, None)):
            said = what if how == "recorded" else "the same, lazy pass and then every site replayed"
            measured = ratio(times["theirs"], times[how])
            figures.append(Figure.of_ratio(said, measured, peer_name, figure_bar, figure_goal, least, versions))
    return figures


# -- the process ---------------------------------------------------------------------------------------------------


def start(options: Options) -> list[Figure]:
    """From nothing to the finished answer, modules compiled, as an installation leaves them; they and the file are in
    the page cache after the first, uncounted round."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def timed(*arguments: str) -> float:
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, env=environment)
            return time.perf_counter() - began

        sides = {
            "ours": lambda: timed("-m", "cutaway", "trace", TEXT, "--json"),
            "python": lambda: timed("-c", "import numpy"),
        }
        times = rounds(sides, 5 if options.quick else 11)
    seconds, least = median(times["ours"]), median(times["python"])
    what = "process start to the finished `cutaway trace TEXT --json`"
    return [Figure(what, f"{seconds:.2f} s", seconds <= 0.5, "≤ 0.5 s", "0.3 s", goal_met=seconds <= 0.3,
                   ours=seconds, limit=f"Python and NumPy alone: {least:.2f} s")]  # fmt: skip


def memory(options: Options) -> list[Figure]:
    """The whole process, its libraries and the file's touched pages included; the peer does the same work."""
    ids, path = some_ids(1024), model_path()
    size = Path(path).stat().st_size

    def peak(name: str, **settings: Any) -> float:
        with Side(name, threads=THREADS, path=path, **settings) as side:
            return float(side.do("peak", ids=ids)["bytes"])

    ours = median(peak("cutaway", ready=False) for _ in range(1 if options.quick else 3))
    theirs, peer = None, "llama.cpp is not installed"
    with contextlib.suppress(Missing):
        theirs = peak("llama", flash_attention=True, n_ctx=1024)
        peer = f"llama.cpp: {theirs / 1e6:.0f} MB"
    value = f"{ours / size:.2f}× the file ({ours / 1e6:.0f} MB)"
    return [Figure("peak resident memory, lazily traced 1,024 tokens", value, ours <= 3 * size, "≤ 3× the file",
                   "llama.cpp's own", goal_met=theirs is not None and ours <= theirs, ours=ours, theirs=theirs,
                   peer=peer, limit=f"the file: {size / 1e6:.0f} MB")]  # fmt: skip


# -- ourselves against ourselves -----------------------------------------------------------------------------------


def lookup(options: Options) -> list[Figure]:
    """Greedy, chat, two real tasks whose answers repeat their input; both ways must write the same."""
    figures = []
    with Side("cutaway", threads=THREADS, path=model_path()) as ours:
        for name, what in (("code", "code to edit"), ("summary", "a summary of its input")):
            ids = ours.do("chat_ids", text=(TEXTS / f"{name}.txt").read_text(encoding="utf-8"))["ids"]
            n = 160
            told: dict[int, dict[str, Any]] = {}

            def write(length: int, ids: list[int] = ids, n: int = n, told: dict[int, Any] = told) -> float:
                told[length] = ours.do("written", ids=ids, n=n, lookup=length)
                return float(told[length]["seconds"]) / n

            times = rounds({"plain": lambda: write(0), "lookup": lambda: write(10)}, 3 if options.quick else 9,
                           warm=0 if options.quick else 1, most=25)  # fmt: skip
            if told[0]["ids"] != told[10]["ids"]:
                raise RuntimeError(f"prompt lookup changed what is written ({name})")
            said = f"prompt lookup, {what}: {told[10]['drafted']} of {n} tokens from drafts"
            figures.append(
                Figure.of_ratio(said, ratio(times["plain"], times["lookup"]), "plain decoding", 1.5, 2.5, None)
            )
    return figures


def busy(options: Options) -> list[Figure]:
    """Another process keeps one core busy; the same run, the same side, with and without it."""
    n, prompt = 48, some_ids(32)

    def disturbed(side: Side) -> float:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            try:
                time.sleep(0.2)
                return float(side.do("decode", ids=prompt, n=n)["seconds"]) / n
            finally:
                other.kill()

    figures = []
    with contextlib.ExitStack() as stack:
        running = {"ours": stack.enter_context(Side("cutaway", threads=THREADS, path=model_path()))}
        with contextlib.suppress(Missing):
            running["llama.cpp"] = stack.enter_context(_llama(True))
        for name, side in running.items():
            times = rounds(
                {
                    "quiet": lambda side=side: side.do("decode", ids=prompt, n=n)["seconds"] / n,  # type: ignore[misc]
                    "busy": lambda side=side: disturbed(side),  # type: ignore[misc]
                },
                3 if options.quick else 7,
            )
            measured = ratio(times["quiet"], times["busy"])
            what = "decode while another process keeps one core busy, against the same undisturbed"
            own = name == "ours"
            figures.append(
                Figure.of_ratio(what if own else f"the same of {name}", measured, "itself, undisturbed",
                                0.45 if own else None, 0.6 if own else None, None)
            )  # fmt: skip
    return figures


# -- another shape -------------------------------------------------------------------------------------------------


def _gpt2(dtype: str) -> Callable[[Options], list[Figure]]:
    def gpt2(options: Options) -> list[Figure]:
        folder = work.gpt2_folder(dtype)
        shape = work.folder_model(folder)
        n, prompt, long = 24, some_ids(32), some_ids(512)
        bars = {"float32": {"decode": (2.0, 3.0), "prefill": (1.5, 2.0)}, "bfloat16": {"decode": (1.5, 2.5)}}[dtype]
        figures = []
        with (
            Side("cutaway", threads=THREADS, path=str(folder)) as ours,
            Side("transformers", threads=THREADS, folder=str(folder), dtype=dtype, attention="sdpa") as peer,
        ):
            versions = [ours.about["version"], peer.about["version"]]
            for what, (bar, goal) in bars.items():
                if what == "decode":
                    least = work.decoding_limit(shape, 32 + n // 2, THREADS)
                    sides = {"ours": lambda: ours.do("decode", ids=prompt, n=n)["seconds"] / n,
                             "theirs": lambda: peer.do("decode", ids=prompt, n=n)["seconds"] / n}  # fmt: skip
                else:
                    least = work.prefill_limit(shape, len(long), THREADS)
                    sides = {"ours": lambda: ours.do("prefill", ids=long)["seconds"],
                             "theirs": lambda: peer.do("prefill", ids=long)["seconds"]}  # fmt: skip
                times = rounds(sides, 3 if options.quick else 9, most=25)
                length = "" if what == "decode" else f" of {len(long)} tokens"
                said = f"GPT-2 small's shape, {dtype} weights: {what}{length}"
                figures.append(
                    Figure.of_ratio(said, ratio(times["theirs"], times["ours"]),
                                    f"transformers in {dtype}", bar, goal, least, versions)
                )  # fmt: skip
        return figures

    return gpt2


ROWS: dict[str, Callable[[Options], list[Figure]]] = {
    "decode": decode,
    "prefill-512": _prefill(512),
    "prefill-1024": _prefill(1024),
    "captured": captured,
    "captured-long": captured_long,
    "start": start,
    "memory": memory,
    "lookup": lookup,
    "gpt2": _gpt2("float32"),
    "gpt2-bf16": _gpt2("bfloat16"),
    "busy": busy,
    "growth-length": growth.length,
    "growth-layers": growth.layers,
    "growth-batch": growth.batch,
}
QUICK = ("decode", "prefill-512", "captured", "start", "memory", "lookup")


def run(options: Options) -> list[dict[str, Any]]:
    unknown = set(options.only) - set(ROWS)
    if unknown:
        raise SystemExit(f"benchmarks speed: no row is called {', '.join(unknown)}; there are {', '.join(ROWS)}.")
    rows = []
    for name in options.only or (QUICK if options.quick else ROWS):
        began, others = time.perf_counter(), Others()
        try:
            figures = ROWS[name](options)
        except Missing as err:
            figures = [Figure(name, f"not measured: {err}", True)]
        rows += [figure.as_row() for figure in figures]
        used = others.cores()
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        if not options.quick:
            _keep(name, figures, used)
    return rows


def _keep(name: str, figures: list[Figure], others: float) -> None:
    """Keeps a row, and makes the page again. One that was disturbed does not take the place of an older one."""
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    if others > report.DISTURBED:
        doubt = "the figures kept before stay" if name in kept else "they are kept with a mark"
        print(f"{name}: other programs used {others:.1f} cores meanwhile; {doubt}.", file=sys.stderr, flush=True)
    if others <= report.DISTURBED or name not in kept:
        found = [figure.as_kept() for figure in figures]
        kept[name] = {"machine": machine(), "limits": plain(limits()), "others": others, "figures": found}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    report.write({name: kept[name] for name in ROWS if name in kept})
