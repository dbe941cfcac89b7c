"""The machine's own limits, measured in compiled code: what is read, and what is multiplied, a second.

python -m benchmarks limits

A decoding step must read every weight once, so it cannot take less than bytes / bandwidth; a prefill must do
2 × rows × weights operations, so it cannot take less than those / peak. Every figure stands beside its limit.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Options, machine

SOURCE = Path(__file__).with_name("limits.c")
KEPT = Path(__file__).parent / "results/limits.json"


Seen = dict[str, dict[str, float]]  # threads -> "bytes" and "flops" a second


@dataclass(frozen=True)
class Limit:
    """Bytes a second that `threads` threads read from memory, and float32 operations a second that they do."""

    threads: int
    bytes: float
    flops: float


@functools.cache
def limits(threads: int = 2) -> dict[int, Limit]:
    """By number of threads, up to `threads` or the cores there are; empty where no compiler is.

    On a machine shared with strangers bandwidth comes and goes: a limit is the most that was ever seen on this
    processor, and what was seen is kept in results/limits.json.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "limits")
        build = [compiler, "-O3", "-ffp-contract=fast", "-pthread", str(SOURCE), "-o", program]
        if subprocess.run([*build, "-march=native"], capture_output=True, check=False).returncode:
            subprocess.run(build, check=True)  # some compilers know no such machine as this one
        count = min(threads, os.cpu_count() or 1)
        ran = subprocess.run([program, str(count)], capture_output=True, text=True, check=True)
    name = f"{machine()['processor']}, {os.cpu_count()} cores"
    kept: dict[str, Seen] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    kept[name] = most(kept.get(name, {}), json.loads(ran.stdout))
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return {int(n): Limit(int(n), each["bytes"], each["flops"]) for n, each in kept[name].items()}


def most(before: Seen, now: Seen) -> Seen:
    """By threads, of each limit the most of both."""
    both = {
        n: {what: max(value, before.get(n, each)[what]) for what, value in each.items()} for n, each in now.items()
    }
    return before | both


def plain(found: dict[int, Limit]) -> Seen:
    """As JSON keeps it."""
    return {str(n): {"bytes": each.bytes, "flops": each.flops} for n, each in found.items()}


def run(options: Options) -> list[dict[str, Any]]:
    rows = []
    for n, limit in limits().items():
        threads = f"{n} thread{'s' if n > 1 else ''}"
        for what, value, unit in (("read from memory", limit.bytes, "GB/s"), ("float32", limit.flops, "GFLOP/s")):
            rows.append(
                {"figure": f"{what}, {threads}", "bar": "(shown)", "value": f"{value / 1e9:.0f} {unit}", "met": True}
            )
    return rows
