"""From stored weights to float32: the plain types, and ggml's blocks of 32 or 256 weights.

A block of 32 keeps one scale d (and in the _1 types one offset m) as float16, and 4, 5 or 8 bits a weight:
w = d q + m. A K block keeps 256 weights in 8 or 16 groups, each with a small whole number for its own scale (and
offset), which one float16 for the whole block turns into a number: w = (d s) q - (dmin t).

Every decoder takes `blocks`, uint8 [n, bytes of a block], and fills `out`, float32 [n, weights of a block]; sums
and products are single float32 operations in the order of the formula, so that the result is ggml's to the bit.
`dequantize` feeds them pieces that fit a core's cache; NumPy lets go of the interpreter meanwhile, so two threads
take half the time.

Source: ggml-common.h and ggml-quants.c in ggml-org/ggml (block_q4_1, dequantize_row_q4_1, …).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutaway.errors import BadCheckpoint

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# 64k weights are 256 KB as float32: with their integers they stay in a second-level cache of 1 MB
PIECE = 1 << 16


@dataclass(frozen=True)
class Format:
    """How one type packs its weights: so many in a block of so many bytes, and the decoder of blocks."""

    name: str
    weights: int
    n_bytes: int
    decode: Callable[[Bytes, Floats], None]

    @property
    def bits(self) -> float:
        """Bits for each weight, scales included."""
        return 8 * self.n_bytes / self.weights


def dequantize(raw: NDArray[np.uint8], dtype: str, out: Floats | None = None) -> Floats:
    """uint8 [..., bytes of a row] -> float32 [..., weights of a row], into `out` when given (C-contiguous).

    Rows are whole blocks. Raises `BadCheckpoint` for an unknown dtype or bytes that are no whole number of blocks.
    """
    form = FORMATS.get(dtype)
    if form is None:
        raise BadCheckpoint(f"weights stored as {dtype} have no decoder here; Cutaway reads {', '.join(FORMATS)}.")
    row_bytes = raw.shape[-1]
    if row_bytes % form.n_bytes:
        raise BadCheckpoint(
            f"a row of {row_bytes} bytes is no whole number of {dtype} blocks of {form.n_bytes} bytes; the file is"
            " damaged, so fetch it again."
        )
    shape = (*raw.shape[:-1], row_bytes // form.n_bytes * form.weights)
    if out is None:
        out = np.empty(shape, np.float32)
    assert out.dtype == np.float32 and out.size == math.prod(shape) and out.flags.c_contiguous
    blocks = np.ascontiguousarray(raw).reshape(-1, form.n_bytes)
    weights = out.reshape(-1, form.weights)
    step = max(1, PIECE // form.weights)
    with np.errstate(all="ignore"):  # a hostile scale may be infinite; `refuse_non_finite` names such tensors
        for start in range(0, len(blocks), step):
            form.decode(blocks[start : start + step], weights[start : start + step])
    return out.reshape(shape)


def _half(blocks: Bytes, start: int, count: int = 1) -> Floats:
    """float16 numbers inside each block -> float32 [n, count]. A copy: inside a block they are not aligned."""
    return blocks[:, start : start + 2 * count].copy().view("<f2").astype(np.float32)


def _low_high(packed: Bytes, out: NDArray[Any]) -> None:
    """[..., k] bytes -> [..., 2, k]: all the low halves, then all the high halves."""
    out[..., 0, :] = packed & 15
    out[..., 1, :] = packed >> 4


# ---- plain types ----


def _f32(blocks: Bytes, out: Floats) -> None:
    out[:] = blocks.view("<f4")


def _f16(blocks: Bytes, out: Floats) -> None:
    out[:] = blocks.view("<f2")


def _bf16(blocks: Bytes, out: Floats) -> None:
    # a bfloat16 is the upper half of a float32
    out.view(np.uint32)[:] = blocks.view("<u2")
    np.left_shift(out.view(np.uint32), 16, out=out.view(np.uint32))


# ---- blocks of 32 ----


def _q8_0(blocks: Bytes, out: Floats) -> None:
    out[:] = blocks[:, 2:].view(np.int8)
    out *= _half(blocks, 0)


def _q4_0(blocks: Bytes, out: Floats) -> None:
    _low_high(blocks[:, 2:], out.reshape(-1, 2, 16))
    out -= np.float32(8)
    out *= _half(blocks, 0)


def _q4_1(blocks: Bytes, out: Floats) -> None:
    scale = _half(blocks, 0, 2)
    _low_high(blocks[:, 4:], out.reshape(-1, 2, 16))
    out *= scale[:, :1]
    out += scale[:, 1:]


def _five_bits(high: Bytes, low: Bytes) -> Bytes:
    """4 bytes of fifth bits (weight i's is bit i) and 16 bytes of the other four -> 0 … 31, [n, 32]."""
    q = np.unpackbits(high, axis=1, bitorder="little")
    q <<= 4
    halves = q.reshape(-1, 2, 16)
    halves[:, 0] |= low & 15
    halves[:, 1] |= low >> 4
    return q


def _q5_0(blocks: Bytes, out: Floats) -> None:
    out[:] = _five_bits(blocks[:, 2:6], blocks[:, 6:])
    out -= np.float32(16)
    out *= _half(blocks, 0)


def _q5_1(blocks: Bytes, out: Floats) -> None:
    scale = _half(blocks, 0, 2)
    out[:] = _five_bits(blocks[:, 4:8], blocks[:, 8:])
    out *= scale[:, :1]
    out += scale[:, 1:]


# sixteen levels, closer together near zero than far from it (ggml's kvalues_iq4nl)
IQ4_NL_LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)  # fmt: skip


def _iq4_nl(blocks: Bytes, out: Floats) -> None:
    packed = blocks[:, 2:]
    halves = out.reshape(-1, 2, 16)
    halves[:, 0] = IQ4_NL_LEVELS[packed & 15]
    halves[:, 1] = IQ4_NL_LEVELS[packed >> 4]
    out *= _half(blocks, 0)


# ---- K blocks of 256 ----


def _six_bit_pairs(packed: Bytes) -> tuple[Floats, Floats]:
    """12 bytes -> eight scales and eight offsets of 6 bits each, [n, 8] both (Q4_K, Q5_K).

    The first four of each lie whole in bytes 0-3 and 4-7; of the last four, the low bits share bytes 8-11, and
    the top two bits fill up bytes 0-3 and 4-7.
    """
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 2) & 48], axis=1)
    offsets = np.concatenate([second & 63, (third >> 4) | (second >> 2) & 48], axis=1)
    return scales.astype(np.float32), offsets.astype(np.float32)


def _scale_and_offset(out: Floats, scales: Floats, offsets: Floats) -> None:
    """`out` [n, 256] in groups: times its group's scale, minus its group's offset ([n, groups] each)."""
    groups = out.reshape(len(out), scales.shape[1], -1)
    groups *= scales[:, :, None]
    groups -= offsets[:, :, None]


def _q2_k(blocks: Bytes, out: Floats) -> None:
    # scales 16, quants 64, d, dmin
    small, whole = blocks[:, :16], _half(blocks, 80, 2)
    packed = blocks[:, 16:80].reshape(-1, 2, 32)  # two halves of 128; four groups of 32 share their bytes
    q = out.reshape(-1, 2, 4, 32)
    for k in range(4):
        q[:, :, k] = (packed >> (2 * k)) & 3
    scales = (small & 15).astype(np.float32) * whole[:, :1]
    offsets = (small >> 4).astype(np.float32) * whole[:, 1:]
    _scale_and_offset(out, scales, offsets)


def _q3_k(blocks: Bytes, out: Floats) -> None:
    # third bits 32, quants 64, scales 12, d
    third, packed, small = blocks[:, :32], blocks[:, 32:96].reshape(-1, 2, 32), blocks[:, 96:108]
    q = np.empty((len(blocks), 2, 4, 32), np.int8)
    for half in range(2):
        for k in range(4):
            two_bits = (packed[:, half] >> (2 * k)) & 3
            absent = (~third >> (4 * half + k)) & 1  # the third bit is stored the other way round: absent means -4
            q[:, half, k] = two_bits.view(np.int8) - (absent << 2).view(np.int8)
    out[:] = q.reshape(-1, 256)
    scales = np.empty((len(blocks), 4, 4), np.uint8)  # sixteen scales of 6 bits
    for k in range(4):
        low = small[:, 4 * (k % 2) : 4 * (k % 2) + 4] >> (4 * (k // 2))
        high = small[:, 8:12] >> (2 * k)
        scales[:, k] = (low & 15) | (high & 3) << 4
    signed = scales.reshape(-1, 16).astype(np.float32) - np.float32(32)
    groups = out.reshape(-1, 16, 16)
    groups *= (signed * _half(blocks, 108))[:, :, None]


def _q4_k(blocks: Bytes, out: Floats) -> None:
    # d, dmin, scales 12, quants 128
    whole = _half(blocks, 0, 2)
    scales, offsets = _six_bit_pairs(blocks[:, 4:16])
    _low_high(blocks[:, 16:].reshape(-1, 4, 32), out.reshape(-1, 4, 2, 32))
    _scale_and_offset(out, scales * whole[:, :1], offsets * whole[:, 1:])


def _q5_k(blocks: Bytes, out: Floats) -> None:
    # d, dmin, scales 12, fifth bits 32, quants 128
    whole = _half(blocks, 0, 2)
    scales, offsets = _six_bit_pairs(blocks[:, 4:16])
    fifth, packed = blocks[:, 16:48], blocks[:, 48:].reshape(-1, 4, 32)
    q = out.reshape(-1, 8, 32)
    for group in range(8):
        low = packed[:, group // 2] >> (4 * (group % 2))
        q[:, group] = (low & 15) | ((fifth >> group) & 1) << 4
    _scale_and_offset(out, scales * whole[:, :1], offsets * whole[:, 1:])


def _q6_k(blocks: Bytes, out: Floats) -> None:
    # low four bits 128, high two bits 64, scales 16 (signed), d
    low = blocks[:, :128].reshape(-1, 2, 2, 32)  # [n, half, pair, 32]
    high = blocks[:, 128:192].reshape(-1, 2, 32)
    q = out.reshape(-1, 2, 4, 32)
    for k in range(4):
        four_bits = (low[:, :, k % 2] >> (4 * (k // 2))) & 15
        q[:, :, k] = four_bits | ((high >> (2 * k)) & 3) << 4
    out -= np.float32(32)
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32) * _half(blocks, 208)
    groups = out.reshape(-1, 16, 16)
    groups *= scales[:, :, None]


FORMATS: Mapping[str, Format] = {
    form.name: form
    for form in (
        Format("F32", 1, 4, _f32),
        Format("F16", 1, 2, _f16),
        Format("BF16", 1, 2, _bf16),
        Format("Q8_0", 32, 34, _q8_0),
        Format("Q4_0", 32, 18, _q4_0),
        Format("Q4_1", 32, 20, _q4_1),
        Format("Q5_0", 32, 22, _q5_0),
        Format("Q5_1", 32, 24, _q5_1),
        Format("Q2_K", 256, 84, _q2_k),
        Format("Q3_K", 256, 110, _q3_k),
        Format("Q4_K", 256, 144, _q4_k),
        Format("Q5_K", 256, 176, _q5_k),
        Format("Q6_K", 256, 210, _q6_k),
        Format("IQ4_NL", 32, 18, _iq4_nl),
    )
}
