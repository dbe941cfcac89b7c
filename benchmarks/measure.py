"""Timing that can be trusted on a shared machine: the two sides in turn, the ratio pair by pair, its median."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Options:
    """What the command line asked for: rows by name (none: all), and whether in a hurry."""

    only: list[str] = field(default_factory=list)
    quick: bool = False


def model_path() -> str:
    """The default model's file, brought if need be; every side opens this very file."""
    from cutaway.weights import catalog

    found = catalog.find(catalog.DEFAULT)
    return str(found.path if found is not None else catalog.pull(catalog.DEFAULT))


class Others:
    """What other programs use of the cores from now on: a figure measured beside them is to be doubted."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy(), _own()

    def cores(self) -> float:
        """Cores, on average, that others kept busy; 0 where the system does not tell. Our children count once they
        have ended."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return max(0.0, (_busy() - self._busy - (_own() - self._own)) / seconds)


def _busy() -> float:
    """Seconds that all cores together were busy since the system's start."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return float(user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def peak_memory() -> int:
    """The most resident memory that this process ever held, in bytes; mapped files that were touched count."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


@dataclass(frozen=True)
class Ratio:
    """Seconds of A and of B (medians), and the median of A/B over the pairs with its spread."""

    a: float
    b: float
    ratio: float
    low: float
    high: float
    pairs: int


def in_turn(a: Callable[[], Any], b: Callable[[], Any], pairs: int = 15, warm: int = 2) -> Ratio:
    """A B A B …, after `warm` uncounted rounds; `low` and `high` are the quartiles of the ratio."""
    for _ in range(warm):
        a()
        b()
    times: list[tuple[float, float]] = []
    for pair in range(pairs):
        order = ((a, 0), (b, 1)) if pair % 2 == 0 else ((b, 1), (a, 0))  # neither always goes first
        seconds = [0.0, 0.0]
        for run, at in order:
            gc.collect()
            started = time.perf_counter()
            run()
            seconds[at] = time.perf_counter() - started
        times.append((seconds[0], seconds[1]))
    return ratio([first for first, _ in times], [second for _, second in times])


def rounds(
    sides: Mapping[str, Callable[[], float]], count: int, warm: int = 1, most: float = 1e9, rest: float = 0.02
) -> dict[str, list[float]]:
    """What every side measured, round by round, each side once in a round and the order turning; `warm` first rounds
    are not counted. Ends early after `most` seconds, but not before three rounds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    until = time.monotonic() + most
    for number in range(warm + count):
        if number >= warm + 3 and time.monotonic() > until:
            break
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(rest)  # the last side's threads may still be spinning
            value = sides[name]()
            if number >= warm:
                times[name].append(value)
    return times


def ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """A over B, of times that were taken in the same rounds."""
    ratios = sorted(first / second for first, second in zip(a, b, strict=True))
    quarter = len(ratios) // 4
    return Ratio(
        statistics.median(a), statistics.median(b), statistics.median(ratios),
        ratios[quarter], ratios[-1 - quarter], len(ratios),
    )  # fmt: skip


def kernels() -> str:
    """Which of Cutaway's kernels run here: an instruction set, or NumPy and why."""
    from cutaway.kernels import native

    return f"NumPy ({native.REASON})" if native.MODULE is None else str(native.MODULE.isa())


def machine() -> dict[str, Any]:
    """What stands beside every figure: machine, threads, dtype, versions, commit."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "dtype": "float32 (activations and sums; weights as the file packs them)",
        "kernels": kernels(),
        "blas_settings": {key: value for key, value in os.environ.items() if key.startswith(("OPENBLAS", "OMP"))},
        "commit": commit.stdout.strip() or "unknown",
    }
