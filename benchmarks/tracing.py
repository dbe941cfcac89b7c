"""What seeing costs: lazy against untraced, captured against TransformerLens, memory, taps, start.

make bench        or        python -m benchmarks tracing
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

import cutaway
from benchmarks.measure import Options, in_turn
from cutaway.models.forward import forward, unembed
from cutaway.tap import SILENT

SIX = [5127, 15171, 18766, 3629, 288, 919]


def _row(name: str, bar: str, value: str, met: bool, **more: Any) -> dict[str, Any]:
    return {"figure": name, "bar": bar, "value": value, "met": met, **more}


def lazy_against_untraced(model: cutaway.Model) -> list[dict[str, Any]]:
    rows = []
    for n in (6, 128, 512):
        ids = (SIX * 100)[:n]

        def untraced(ids: list[int] = ids) -> None:
            x = forward(model.config, model.parameters, np.asarray(ids), tap=SILENT)
            unembed(model.config, model.parameters, x[-1:], tap=SILENT)

        def lazy(ids: list[int] = ids) -> None:
            model.trace(ids).logits()

        measured = in_turn(lazy, untraced, pairs=21 if n < 100 else 9)
        extra = (measured.ratio - 1) * 100
        spread = f"quartiles {(measured.low - 1) * 100:+.1f} to {(measured.high - 1) * 100:+.1f}%"
        rows.append(
            _row(f"lazy traced pass over untraced, {n} tokens", "≤ +5%", f"{extra:+.1f}%", extra <= 5, spread=spread,
                 seconds=[measured.a, measured.b])
        )  # fmt: skip
    return rows


def captured_against_transformer_lens(model: cutaway.Model) -> list[dict[str, Any]]:
    import torch

    from benchmarks.peers import our_names, transformer_lens

    rows = []
    with transformer_lens(model) as peer, torch.no_grad():
        ids = torch.tensor([SIX])
        _, cache = peer.run_with_cache(ids)
        names = our_names(model, list(cache.keys()))
        for name in ("blocks.3.attn.pattern", "blocks.29.resid_post", "logits"):  # the same arrays, indeed
            key = (
                "unembed.hook_out" if name == "logits" else name.rsplit(".", 1)[0] + ".hook_" + name.rsplit(".", 1)[1]
            )
            theirs = cache[key][0].numpy()
            assert np.abs(model.trace(SIX)[name] - theirs).max() <= 1e-4 * np.abs(theirs).max()

        def captured() -> None:
            trace = model.trace(SIX, record=names)
            for name in names:
                trace[name]

        def lazily_read() -> None:
            model.trace(SIX).read_many(names)

        def theirs() -> None:
            peer.run_with_cache(ids)

        held = f"{len(names)} sites"
        measured = in_turn(theirs, captured, pairs=15)
        rows.append(
            _row(f"TransformerLens run_with_cache over captured pass, 6 tokens, {held}", "≥ 1.5×",
                 f"{measured.ratio:.2f}×", measured.ratio >= 1.5, quartiles=[measured.low, measured.high],
                 seconds=[measured.a, measured.b])
        )  # fmt: skip
        measured = in_turn(theirs, lazily_read, pairs=15)
        rows.append(
            _row("the same, lazy pass and then every site replayed", "(shown)", f"{measured.ratio:.2f}×", True,
                 quartiles=[measured.low, measured.high], seconds=[measured.a, measured.b])
        )  # fmt: skip
        measured = in_turn(theirs, lambda: model.trace(SIX).logits(), pairs=15)
        rows.append(
            _row("the same, lazy pass alone", "(shown)", f"{measured.ratio:.2f}×", True,
                 seconds=[measured.a, measured.b])
        )  # fmt: skip
    return rows


PEAK = """
import resource, sys, threading, time
import cutaway
model = cutaway.load()
model.parameters.read_all()
model.trace([1, 2, 3]).logits()          # BLAS has its buffers, weights are resident
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
before = resident()
highest = [before]
done = threading.Event()
def watch():
    while not done.is_set():
        highest[0] = max(highest[0], resident())
        time.sleep(0.0005)
thread = threading.Thread(target=watch)
thread.start()
trace = model.trace((list(range(300, 1324))))
trace.logits()
done.set(); thread.join()
print((highest[0] - before) / 1e6)
"""


def peak_memory() -> list[dict[str, Any]]:
    peaks = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
        peaks.append(float(run.stdout))
    peak = sorted(peaks)[1]
    return [
        _row("peak memory above import and resident weights, lazy pass of 1,024 tokens", "≤ 150 MB",
             f"{peak:.0f} MB", peak <= 150, all=peaks)
    ]  # fmt: skip


def start() -> list[dict[str, Any]]:
    env_python = sys.executable

    def ours() -> None:
        subprocess.run(
            [env_python, "-m", "cutaway", "trace", "Data visualization empowers users to", "--json"],
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def theirs() -> None:
        subprocess.run([env_python, "-W", "ignore", "-c", "import transformer_lens"], check=True)

    measured = in_turn(ours, theirs, pairs=5, warm=1)
    return [
        _row("process start to `cutaway trace TEXT --json` finished, over `import transformer_lens` alone", "≤ 0.5×",
             f"{measured.ratio:.2f}×", measured.ratio <= 0.5, seconds=[measured.a, measured.b])
    ]  # fmt: skip


def silent_taps(model: cutaway.Model) -> list[dict[str, Any]]:
    """What the taps of one decoding step cost when nobody listens: counted calls times the measured cost of one."""
    import timeit

    calls = 0

    class Counting:
        def __call__(self, site: str, value: Any) -> Any:
            nonlocal calls
            calls += 1
            return value

        def wants(self, site: str) -> bool:
            nonlocal calls
            calls += 1
            return False

        def within(self, prefix: str) -> Any:
            nonlocal calls
            calls += 1
            return self

    from cutaway.generation.kv_cache import KVCache

    cache = KVCache(model.config.n_layer)
    forward(model.config, model.parameters, np.asarray(SIX), cache=cache)
    counting = Counting()
    x = forward(model.config, model.parameters, np.asarray([919]), tap=counting, cache=cache)
    unembed(model.config, model.parameters, x, tap=counting)
    one = min(timeit.repeat(lambda: SILENT("attn.q", x), number=100_000, repeat=5)) / 100_000

    def step() -> None:
        length = cache.length
        y = forward(model.config, model.parameters, np.asarray([919]), cache=cache)
        unembed(model.config, model.parameters, y)
        cache.truncate(length)

    seconds = in_turn(step, step, pairs=15).a
    share = 100 * calls * one / seconds
    return [
        _row("taps that nobody listens to, share of a decoding step", "< 2%", f"{share:.2f}%", share < 2, calls=calls,
             seconds=[calls * one, seconds])
    ]  # fmt: skip


def run(options: Options) -> list[dict[str, Any]]:
    model = cutaway.load()
    model.trace(SIX).logits()
    rows = lazy_against_untraced(model)
    rows += silent_taps(model)
    rows += captured_against_transformer_lens(model)
    rows += peak_memory()
    rows += start()
    return rows
