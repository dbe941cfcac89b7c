"""Timing that can be trusted on a shared machine: the two sides in turn, the ratio pair by pair, its median."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


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
    ratios = sorted(first / second for first, second in times)
    quarter = len(ratios) // 4
    return Ratio(
        statistics.median(first for first, _ in times),
        statistics.median(second for _, second in times),
        statistics.median(ratios),
        ratios[quarter],
        ratios[-1 - quarter],
        pairs,
    )


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
        "dtype": "float32 (weights dequantised from Q4_1 and Q8_0)",
        "blas_settings": {key: value for key, value in os.environ.items() if key.startswith(("OPENBLAS", "OMP"))},
        "commit": commit.stdout.strip() or "unknown",
    }
