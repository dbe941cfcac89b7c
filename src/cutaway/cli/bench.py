"""`cutaway bench`: how fast this machine is, with everything beside the figures that they depend on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutaway.cli.trace import JsonOption, ModelOption
from cutaway.cli.words import number

if TYPE_CHECKING:
    from cutaway.engine import Model

TEXT = "The robots will bring peace. The robots will bring"
LONG = 256


def bench(
    model: ModelOption = None,
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", min=1, max=100, help="Runs of each, for a median.")
    ] = 5,
    json: JsonOption = False,
) -> None:
    """Time this machine: start to first result, a pass with and without its trace, decoding.

    Medians of a few runs, and ratios, which travel better from machine to machine. Takes under a minute on the
    default model. Close other programs first: they share the cores.

    \b
    Examples:
      cutaway bench
      cutaway bench --model gpt2 --json
    """  # fmt: skip
    from cutaway.cli.reading import open_model

    loaded = open_model(model)  # brought, if need be, before any clock runs
    results = measure(loaded, repeat, model)
    if json:
        from cutaway.cli.machine import write_json

        write_json(results)
        return
    _show(results)


def measure(model: Model, repeat: int, name: str | None) -> dict[str, Any]:
    """Seconds are medians of `repeat` runs. Traced and untraced passes take turns: both meet the same noise."""
    from cutaway.models.forward import forward

    ids = _prompt(model)
    long = (ids * (1 + LONG // len(ids)))[: min(LONG, model.config.n_ctx)]
    began = time.perf_counter()
    model.parameters.read_all()
    reading = time.perf_counter() - began

    def plain(some: list[int]) -> Callable[[], object]:
        import numpy as np

        return lambda: forward(model.config, model.parameters, np.asarray(some))

    def traced(some: list[int]) -> Callable[[], object]:
        return lambda: model.trace(some)

    timed: dict[str, float] = {}
    for words, some in (("short", ids), ("long", long)):
        pair = _alternately({"untraced": plain(some), "traced": traced(some)}, repeat)
        timed |= {f"{kind}_{words}": seconds for kind, seconds in pair.items()}
    decoding = _decoding(model, ids, repeat)
    return {
        "machine": machine(),
        "model": model.name,
        "dtype": _dtypes(model),
        "repeat": repeat,
        "n_tokens": {"short": len(ids), "long": len(long)},
        "seconds": {
            "process_to_first_result": _first_result(name),
            "reading_weights": reading,
            **timed,
        },
        "decode_tokens_per_second": decoding,
        "ratios": {
            "traced_to_untraced_short": timed["traced_short"] / timed["untraced_short"],
            "traced_to_untraced_long": timed["traced_long"] / timed["untraced_long"],
        },
    }


def _prompt(model: Model) -> list[int]:
    if model.tokenizer is not None:
        return model.ids(TEXT)
    return [i % model.config.n_vocab for i in range(10)]


def _alternately(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(repeat + 1):  # the first warms up and is not counted
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def _decoding(model: Model, ids: list[int], repeat: int) -> float:
    """New tokens a second after the first, greedy, with a cache."""
    n = min(33, model.config.n_ctx - len(ids))
    rates = []
    for _ in range(min(repeat, 3)):
        moments = [time.perf_counter() for _ in model.generate(ids, max_new_tokens=n, temperature=0, eos_ids=())]
        rates.append((len(moments) - 1) / (moments[-1] - moments[0]))
    return statistics.median(rates)


def _first_result(name: str | None) -> float | None:
    """A new process, from its start to the end of `cutaway trace TEXT --json`."""
    from cutaway.weights.catalog import DEFAULT

    command = [sys.executable, "-m", "cutaway.cli", "trace", TEXT, "--json", "--model", name or DEFAULT]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    elapsed = time.perf_counter() - began
    return elapsed if done.returncode == 0 else None


def _dtypes(model: Model) -> dict[str, int] | None:
    summary = getattr(model.checkpoint, "summary", None)
    return None if summary is None else dict(summary.dtypes)


def machine() -> dict[str, Any]:
    """What the figures depend on besides the model."""
    import numpy as np

    from cutaway import __version__
    from cutaway.kernels import native

    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    kernels = f"NumPy ({native.REASON})"
    if native.MODULE is not None:
        kernels = f"{native.MODULE.isa()}, {native.MODULE.threads()} threads"
    return {
        "cutaway": __version__,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "kernels": kernels,
        "threads": threads or "not limited",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            named = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named or platform.processor() or platform.machine()


def _show(results: dict[str, Any]) -> None:

    from cutaway.cli.terminal import FAINT, STRONG, ink, screen

    where = screen()
    machine, seconds, n = results["machine"], results["seconds"], results["n_tokens"]
    where.line(ink(where.text(results["model"]), STRONG))
    kinds = ", ".join(f"{count:,} in {dtype}" for dtype, count in (results["dtype"] or {}).items())
    where.say(f"weights {kinds or 'float32'}; computed in float32", style=FAINT)
    load = "" if machine["load"] is None else f", load {machine['load']:.2f}"
    where.say(
        f"{machine['processor']}, {machine['cores']} cores, kernels {machine['kernels']}{load};"
        f" Python {machine['python']}, NumPy {machine['numpy']}, cutaway {machine['cutaway']}",
        style=FAINT,
    )
    where.line()
    rows = [
        ("process start to first result", seconds["process_to_first_result"]),
        ("reading the weights", seconds["reading_weights"]),
        (f"a pass over {n['short']} pieces, untraced", seconds["untraced_short"]),
        (f"a pass over {n['short']} pieces, traced", seconds["traced_short"]),
        (f"a pass over {n['long']} pieces, untraced", seconds["untraced_long"]),
        (f"a pass over {n['long']} pieces, traced", seconds["traced_long"]),
    ]
    for what, value in rows:
        told = "failed" if value is None else f"{number(value)} s" if value >= 1 else f"{number(1000 * value)} ms"
        where.line("  " + where.fit(what, 42) + told)
    where.line("  " + where.fit("decoding", 42) + f"{number(results['decode_tokens_per_second'])} pieces a second")
    for words in ("short", "long"):
        ratio = results["ratios"][f"traced_to_untraced_{words}"]
        where.line("  " + where.fit(f"traced ÷ untraced, {n[words]} pieces", 42) + f"{ratio:.3f}")
    where.say(f"Medians of {results['repeat']} runs; decoding of {min(results['repeat'], 3)}; the first result once.",
              style=FAINT)  # fmt: skip
