"""Every decoder on a block computed by hand, and against what the gguf package made of random blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import FORMATS, PIECE, dequantize

GOLDEN = Path(__file__).parents[1] / "golden" / "quants.npz"

# float16, low byte first: 00 34 = 0.25, 00 38 = 0.5, 00 3c = 1, 00 40 = 2, 00 bc = -1
BLOCKS: dict[str, tuple[str, dict[int, float], float]] = {
    # type: (bytes, weights that differ, all the other weights)
    # sign, exponent and mantissa of 1 are 3f800000
    "F32": ("00 00 80 3f", {}, 1.0),
    # 3e00: exponent 15-15, mantissa 1.1 in binary
    "F16": ("00 3e", {}, 1.5),
    # c120 0000 as float32: -1.25 · 2³
    "BF16": ("20 c1", {}, -10.0),
    # w = q / 2, q signed: 1, 127, -128, -1
    "Q8_0": ("00 38  00 01 7f 80 ff" + " 00" * 27, {1: 0.5, 2: 63.5, 3: -64.0, 4: -0.5}, 0.0),
    # w = 2 (q - 8). Byte j: its low half is weight j, its high half weight j + 16.
    # f0: 2(0-8) and 2(15-8). 98: 2(8-8) and 2(9-8). 88: 0 and 0.
    "Q4_0": ("00 40  f0 98" + " 88" * 14, {0: -16.0, 16: 14.0, 17: 2.0}, 0.0),
    # w = q/2 - 1. f0: 0/2-1 and 15/2-1. 21: 1/2-1 and 2/2-1. 22: 0.
    "Q4_1": ("00 38 00 bc  f0 21" + " 22" * 14, {0: -1.0, 16: 6.5, 1: -0.5}, 0.0),
    # w = q - 16, the fifth bits (worth 16) of weights 0 and 17 set. f0: 0+16-16 and 15-16. 31: 1-16 and 3+16-16.
    "Q5_0": ("00 3c  01 00 02 00  f0 31" + " 00" * 14, {0: 0.0, 16: -1.0, 1: -15.0, 17: 3.0}, -16.0),
    # w = q/4 + 1, the same bits: 16/4+1, 15/4+1, 1/4+1, 19/4+1, and 0/4+1
    "Q5_1": ("00 34 00 3c  01 00 02 00  f0 31" + " 00" * 14, {0: 5.0, 16: 4.75, 1: 1.25, 17: 5.75}, 1.0),
    # w = level: number 0 is -127, 15 is 113, 7 is -10, 8 is 1
    "IQ4_NL": ("00 3c  f0 87" + " 88" * 14, {0: -127.0, 16: 113.0, 1: -10.0}, 1.0),
    # Sixteen groups of 16, each with a scale (low half) and an offset (high half); d = 1, dmin = 1/2.
    # Scales: group 0 2 and 1, group 2 3 and 0, group 4 1 and 2, group 6 15 and 0, the rest 1 and 0.
    # Byte e4 = 11 10 01 00: weights 0, 32, 64, 96 are 2·0-½, 3·1, 1·2-1, 15·3. The last byte, c0: weight 255 is 3.
    "Q2_K": (
        "12 01 03 01 21 01 0f 01" + " 01" * 8 + "  e4" + " 00" * 62 + " c0  00 3c 00 38",
        {**dict.fromkeys(range(16), -0.5), 32: 3.0, **dict.fromkeys(range(64, 80), -1.0), 64: 1.0, 96: 45.0,
         255: 3.0},
        0.0,
    ),
    # w = (scale - 32) q / 2, and q is four less where its bit in the first 32 bytes is absent: for weight 0 only.
    # Sixteen scales of 6 bits: 33 (low half 1, top two bits 10) but for group 0's 37 (low half 5: byte 15) and group
    # 13's 0 (bytes 01 for 11, 2a for aa). Byte e4: weight 0 is 5(0-4)/2, 32 is 1/2, 64 is 2/2, 96 is 3/2.
    # Byte 10 at 48: weight 128+64+16 = 208, in group 13, is -32·1/2.
    "Q3_K": (
        "fe" + " ff" * 31 + "  e4" + " 00" * 47 + " 10" + " 00" * 15 + "  15 11 11 11 11 01 11 11 aa 2a aa aa  00 38",
        {0: -10.0, 32: 0.5, 64: 1.0, 96: 1.5, 208: -16.0},
        0.0,
    ),
    # Eight groups of 32: w = scale q - offset; d = dmin = 1. Group 0: 42 & 63 = 2, c3 & 63 = 3. Group 1: 3f = 63, 0.
    # Group 4: 1 from byte 8 (21) and 16·1 from the top of 42 make 17; 2 and 16·3 from the top of c3 make 50.
    # Group 7: f = 15 from byte 11. Byte f4: weight 0 is 2·4-3, 32 is 63·15. Byte 01: 128 is 17-50. 70: 255 is 15·7.
    "Q4_K": (
        "00 3c 00 3c  42 3f 00 00 c3 00 00 00 21 00 00 0f  f4" + " 00" * 63 + " 01" + " 00" * 62 + " 70",
        {**dict.fromkeys(range(32), -3.0), 0: 5.0, 32: 945.0, **dict.fromkeys(range(128, 160), -50.0), 128: -33.0,
         255: 105.0},
        0.0,
    ),
    # As above with fifth bits, worth 16: byte 0's 12 gives them to groups 1 and 4, the last byte's 80 to group 7.
    # Weight 32 is 63·31, 128 is 17·17-50, 255 is 15·23.
    "Q5_K": (
        "00 3c 00 3c  42 3f 00 00 c3 00 00 00 21 00 00 0f  12" + " 00" * 30 + " 80  f4" + " 00" * 63 + " 01"
        + " 00" * 62 + " 70",
        {**dict.fromkeys(range(32), -3.0), 0: 5.0, 32: 1953.0, **dict.fromkeys(range(128, 160), -50.0), 128: 239.0,
         255: 345.0},
        0.0,
    ),
    # w = scale (q - 32) / 2; top two bits 10 (worth 32) everywhere but weight 32, whose 11 are worth 48.
    # Scales: group 0 3, group 2 -2, group 4 127, the rest 1. Byte 21: weight 0 is 3(33-32)/2, 64 is 127(34-32)/2.
    # Weight 32 is -2(48-32)/2. The last f0: weight 255 is 1(47-32)/2.
    "Q6_K": (
        "21" + " 00" * 126 + " f0  ae" + " aa" * 63 + "  03 01 fe 01 7f" + " 01" * 11 + "  00 38",
        {0: 1.5, 32: -16.0, 64: 127.0, 255: 7.5},
        0.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_block_by_hand(dtype: str) -> None:
    text, different, rest = BLOCKS[dtype]
    raw = np.frombuffer(bytes.fromhex(text), np.uint8)
    form = FORMATS[dtype]
    assert len(raw) == form.n_bytes
    expected = np.full(form.weights, rest, np.float32)
    for i, value in different.items():
        expected[i] = value
    weights = dequantize(raw, dtype)
    assert weights.dtype == np.float32
    assert weights.tolist() == expected.tolist()
    # the same block in the middle of many, so that no decoder takes from its neighbour
    many = np.zeros((5, 3 * form.n_bytes), np.uint8)
    many[2, form.n_bytes : 2 * form.n_bytes] = raw
    assert dequantize(many, dtype)[2, form.weights : 2 * form.weights].tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [name for name in FORMATS if name != "F32"])
def test_random_blocks_as_the_gguf_package_decodes_them(dtype: str) -> None:
    """To the bit, not-a-numbers included: the operations are the same ones in the same order."""
    with np.load(GOLDEN) as golden:
        raw, expected = golden[f"{dtype}.raw"], golden[f"{dtype}.weights"]
    assert np.isfinite(expected).mean() > 0.5
    weights = dequantize(raw, dtype)
    assert weights.shape == expected.shape and np.array_equal(weights, expected, equal_nan=True)


@pytest.mark.parametrize("dtype", FORMATS)
def test_pieces_rows_and_threads_change_nothing(dtype: str) -> None:
    """More than two cache-sized pieces at once equal their rows one by one, in one thread and in two, into `out`."""
    form = FORMATS[dtype]
    rng = np.random.default_rng(3)
    n_rows = 5
    blocks = 2 * PIECE // form.weights // n_rows + 1
    raw = rng.integers(0, 256, (n_rows, blocks * form.n_bytes), dtype=np.uint8)
    whole = dequantize(raw, dtype)
    out = np.empty(whole.size, np.float32)
    assert np.shares_memory(dequantize(raw, dtype, out), out)
    assert np.array_equal(out.reshape(whole.shape), whole, equal_nan=True)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda row: dequantize(row, dtype), raw))
    assert np.array_equal(np.stack(rows), whole, equal_nan=True)


def test_a_strided_view_is_read_right() -> None:
    raw = np.random.default_rng(4).integers(0, 128, (4, 3, 40), dtype=np.uint8)
    raw[..., [1, 3, 21, 23]] &= 0x3B
    assert np.array_equal(dequantize(raw[:, 1], "Q4_1"), dequantize(raw, "Q4_1")[:, 1])


def test_refusals() -> None:
    with pytest.raises(BadCheckpoint, match="no whole number of Q4_1 blocks of 20 bytes"):
        dequantize(np.zeros((2, 39), np.uint8), "Q4_1")
    with pytest.raises(BadCheckpoint, match="stored as IQ1_S have no decoder"):
        dequantize(np.zeros((2, 40), np.uint8), "IQ1_S")


def test_an_infinite_scale_is_no_warning() -> None:
    raw = np.zeros(34, np.uint8)
    raw[0:2] = 0x00, 0x7C  # infinity; times zero that is no number
    assert np.isnan(dequantize(raw, "Q8_0")).all()


def test_bits_for_each_weight() -> None:
    bits = {name: form.bits for name, form in FORMATS.items()}
    assert bits["Q4_1"] == 5.0 and bits["Q8_0"] == 8.5 and bits["Q4_K"] == 4.5 and bits["Q6_K"] == 6.5625
