"""The native decoders give the twin's bits, with every instruction set that this machine can run."""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np
import pytest

from cutaway.kernels import quants
from tests.support.native_cases import HALVES, ISAS, in_a_process_of_its_own, module

native = module()
SCALES = (0.0, -0.0, 6e-8, -6e-8, 3e-5, 6.1e-5, -1.0, 0.0173, 65504.0, np.inf, -np.inf, np.nan)


def blocks_of(name: str, seed: int, count: int) -> np.ndarray:
    """Blocks of random bytes: any bits are a block, among them scales that are tiny, infinite or not a number.

    Every other block gets a scale (and offset) out of `SCALES` in each place that holds one.
    """
    rng = np.random.default_rng(seed)
    form = quants.FORMATS[name]
    raw = rng.integers(0, 256, (count, form.n_bytes), dtype=np.uint8)
    if form.weights > 1:
        for place in HALVES[name]:
            chosen = rng.choice(np.array(SCALES, np.float16), count).view(np.uint8).reshape(count, 2)
            raw[::2, place : place + 2] = chosen[::2]
    return raw


def assert_same_bits(ours: np.ndarray, twins: np.ndarray, what: str) -> None:
    """Same bits; where the twin has no number, none either (which NaN it is depends on the order of operands)."""
    nan = np.isnan(twins)
    np.testing.assert_array_equal(np.isnan(ours), nan, err_msg=what)
    different = (ours.view(np.uint32) != twins.view(np.uint32)) & ~nan
    where = np.argwhere(different)[:5].tolist()
    assert not different.any(), f"{what}: {different.sum()} of {different.size} differ, first at {where}"


def compare(name: str, seed: int, count: int) -> None:
    raw = blocks_of(name, seed, count)
    twins = quants.dequantize(raw.reshape(1, -1), name).ravel()
    # one float more: nothing may be written behind the last
    ours = np.full(twins.size + 1, 7.0, np.float32)
    native.dequantize(name, raw.ravel(), ours[:-1])
    assert_same_bits(ours[:-1], twins, f"{name}, {count} blocks, seed {seed}, {native.isa()}")
    assert ours[-1] == 7.0


def compare_at_the_edge(name: str) -> None:
    """Blocks up to the last byte of a page that none may read beyond, as at the end of a mapped file."""
    form, page = quants.FORMATS[name], mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * page)
    memory = np.frombuffer(pages, np.uint8)
    guarded = ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(memory.ctypes.data + page), page, 0)
    assert guarded == 0, os.strerror(ctypes.get_errno())
    count = page // form.n_bytes - (form.weights == 1)  # of the plain types, no whole sixteen
    raw = blocks_of(name, 5, count).ravel()
    memory[page - raw.size : page] = raw
    ours = np.empty(count * form.weights, np.float32)
    native.dequantize(name, memory[page - raw.size : page], ours)
    assert_same_bits(ours, quants.dequantize(raw[None], name).ravel(), f"{name} at the end of a page")


def compare_all() -> None:
    for name, form in quants.FORMATS.items():
        counts = (1, 2, 3, 17, 301) if form.weights > 1 else (1, 7, 15, 16, 17, 31, 1000)
        for seed in range(20):
            for count in counts:
                compare(name, seed, count)
        # more than one piece of the pool's
        compare(name, 99, 3 * (1 << 16) // form.weights + 5)
        if os.name == "posix":
            compare_at_the_edge(name)


@pytest.mark.parametrize("isa", ISAS)
def test_every_format_has_the_twins_bits(isa: str) -> None:
    code = "from tests.property import test_native_quants as t; print(t.native.isa()); t.compare_all()"
    assert in_a_process_of_its_own(code, isa).split() == [isa]


def test_every_float16_and_every_bfloat16() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    for name in ("F16", "BF16"):
        ours = np.empty(1 << 16, np.float32)
        native.dequantize(name, every.view(np.uint8), ours)
        assert_same_bits(ours, quants.dequantize(every.view(np.uint8)[None], name).ravel(), name)


def test_refusals() -> None:
    out = np.empty(32, np.float32)
    with pytest.raises(ValueError, match="no such format"):
        native.dequantize("Q9_9", np.zeros(20, np.uint8), out)
    with pytest.raises(ValueError, match="no whole number of blocks"):
        native.dequantize("Q4_1", np.zeros(19, np.uint8), out)
    with pytest.raises(ValueError, match="another length"):
        native.dequantize("Q4_1", np.zeros(40, np.uint8), out)
