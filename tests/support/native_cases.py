"""What the native kernels are tested on: random packed weights, and one run of everything for comparing sets of
instructions with one another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cutaway.kernels import attention, native, quants, rows
from cutaway.kernels.products import Table

ISAS = ("avx512", "avx2", "neon", "plain")

# where a block keeps its float16 numbers
HALVES = {
    **dict.fromkeys(("Q8_0", "Q4_0", "Q5_0", "IQ4_NL"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
}
PLAIN = {"F32": np.float32, "F16": np.float16, "BF16": None}


def with_scales(raw: np.ndarray, name: str, scales: np.ndarray) -> np.ndarray:
    """`raw` [n, bytes of a block], its float16 numbers taken from `scales` in turn."""
    for place in HALVES[name]:
        raw[:, place : place + 2] = np.resize(scales.astype(np.float16), len(raw)).view(np.uint8).reshape(-1, 2)
        scales = np.roll(scales, 1)
    return raw


def packed(name: str, n_out: int, n_in: int, seed: int) -> np.ndarray:
    """Random rows of weights about as large as 1, uint8 [n_out, bytes of a row]."""
    rng = np.random.default_rng(seed)
    if name in PLAIN:
        w = rng.standard_normal((n_out, n_in), np.float32)
        if name == "BF16":
            return np.ascontiguousarray(w.view(np.uint16)[:, 1::2]).view(np.uint8)
        return w.astype(PLAIN[name]).view(np.uint8)
    form = quants.FORMATS[name]
    raw = rng.integers(0, 256, (n_out * n_in // form.weights, form.n_bytes), dtype=np.uint8)
    return with_scales(raw, name, rng.uniform(-0.1, 0.1, len(raw))).reshape(n_out, -1)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Same bits, or no number in both (which of the NaN it is depends on the order of operands)."""
    nan = np.isnan(b)
    return a.shape == b.shape and bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (nan & np.isnan(a))))


def everything() -> dict[str, np.ndarray]:
    """Each kernel on shapes whose ends do not meet the lanes', the same in every process."""
    rng = np.random.default_rng(7)
    found: dict[str, np.ndarray] = {}

    def noise(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    for name, form in quants.FORMATS.items():
        for n_pos in (1, 2, 3, 5, 37):
            n_in = 577 if form.weights == 1 else 512
            table = Table(packed(name, 19, n_in, n_pos), name)
            found[f"product {name} {n_pos}"] = noise(n_pos, n_in) @ table.T
    for d_head in (6, 16, 64, 80):
        for n_q, n_k, window in ((1, 1, None), (1, 70, None), (33, 33, None), (20, 51, 17)):
            q, k, v = noise(n_q, 6, d_head), noise(n_k, 2, d_head), noise(n_k, 2, d_head)
            found[f"attention {d_head} {n_q} {n_k}"] = attention.attention(q, k, v, window)
            found[f"scores {d_head} {n_q} {n_k}"] = attention.scores(q, k)
    # to where exp ends on both sides, and through what is below the normal floats
    wide = np.concatenate([np.linspace(-110, 95, 5001, dtype=np.float32), [-np.inf, np.inf, np.nan, 0, -0.0, 1e-40]])
    for which in rows.ACTIVATIONS:
        found[f"activate {which}"] = rows.activate(wide.astype(np.float32), which)
    far = np.stack([np.linspace(-104, 0, 77, dtype=np.float32), np.full(77, -np.inf, np.float32), noise(77)])
    far[1, 5] = 3
    found["softmax"] = rows.softmax(far)
    found["rms_scale"] = rows.rms_scale(noise(9, 77), 1e-5)
    found["centre"] = rows.centre(noise(9, 77))
    found["rope"] = rows.apply_rope(noise(5, 3, 22), noise(5, 11), noise(5, 11))
    return found


def in_a_process_of_its_own(code: str, isa: str, **environment: str) -> str:
    """What `code` printed, with this set of instructions: it is chosen once. Skips where there is none such."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUTAWAY_ISA": isa, "OMP_NUM_THREADS": "1", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if f'CUTAWAY_ISA is "{isa}"; this machine runs' in run.stdout + run.stderr:
        pytest.skip(f"this machine cannot run {isa}")
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return run.stdout


def module() -> Any:
    """The native module, which is wanted here."""
    if native.MODULE is None:
        pytest.skip(f"no native kernels: {native.REASON}", allow_module_level=True)
    return native.MODULE


def keep(path: str) -> None:
    """`everything`, in a file for another process to read."""
    assert native.MODULE is not None, native.REASON
    np.savez(path, **everything())
