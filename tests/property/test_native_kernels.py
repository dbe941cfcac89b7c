"""The native kernels against their twins; and what no twin can say: a row's bits depend on nothing but the row."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway import ops
from cutaway.kernels import attention, native, quants, rows
from cutaway.kernels.products import Table, product
from tests.support.native_cases import (
    ISAS,
    everything,
    in_a_process_of_its_own,
    module,
    packed,
    same_bits,
    with_scales,
)

NATIVE = module()
FORMATS = tuple(quants.FORMATS)
few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 1 << 20)
lengths = st.one_of(st.integers(1, 600), st.integers(500, 1700))  # rows over 512 are taken in pieces


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def length(name: str, some: int) -> int:
    """A row's length: any for the plain types, whole blocks of the others."""
    weights = quants.FORMATS[name].weights
    return some if weights == 1 else weights * (1 + some % (8 if weights == 256 else 53))


def same_with_threads(compute: object) -> np.ndarray:
    """What `compute` gives, the same on one thread and on four."""
    before = NATIVE.threads()
    try:
        NATIVE.set_threads(1)
        one = compute()
        NATIVE.set_threads(4)
        assert same_bits(compute(), one)
    finally:
        NATIVE.set_threads(before)
    return one


# -- products -----------------------------------------------------------------------------------------------------


@few
@given(st.sampled_from(FORMATS), st.integers(1, 45), lengths, st.integers(1, 41), seeds)
def test_a_product_is_the_sum(name: str, n_out: int, some: int, n_pos: int, seed: int) -> None:
    n_in = length(name, some)
    raw, x = packed(name, n_out, n_in, seed), noise(seed, n_pos, n_in)
    W = quants.dequantize(raw, name).astype(np.float64)
    y = product(x, Table(raw, name).T)
    bound = 2e-6 * (np.abs(x).astype(np.float64) @ np.abs(W).T) + 1e-30
    assert y.dtype == np.float32
    assert np.all(np.abs(y - x.astype(np.float64) @ W.T) <= bound)


@few
@given(st.sampled_from(FORMATS), st.integers(1, 45), lengths, st.integers(1, 41), seeds)
def test_a_products_bits_are_its_rows_own(name: str, n_out: int, some: int, n_pos: int, seed: int) -> None:
    """Alone or among other positions, in a slice of the weights, on any number of threads, with a bias or not."""
    n_in = length(name, some)
    raw, x, b = packed(name, n_out, n_in, seed), noise(seed, n_pos, n_in), noise(seed, n_out)
    W = Table(raw, name).T
    y = same_with_threads(lambda: product(x, W))
    for p in {0, n_pos // 2, n_pos - 1}:
        assert same_bits(product(x[p : p + 1], W), y[p : p + 1])
    first = seed % n_out
    assert same_bits(product(x, Table(raw[first:], name).T), y[:, first:])
    assert same_bits(product(x, W, b), y + b)
    assert same_bits(product(x[seed % n_pos :], W), y[seed % n_pos :])
    other = Table(packed("F16", 7, n_in, seed), "F16").T
    ys = [np.empty((n_pos, each.shape[1]), np.float32) for each in (other, W, other)]
    NATIVE.product(x, other._held, None, ys[0], W._held, b, ys[1], other._held, None, ys[2])
    for ours, alone in zip(ys, (x @ other, y + b, x @ other), strict=True):
        assert same_bits(ours, alone)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_zeros_behind_a_row_change_no_bit(name: str) -> None:
    for n_in, more in ((33, 15), (577, 1), (5, 600)):
        raw, x = packed(name, 9, n_in, 1), noise(2, 11, n_in)
        wide = np.pad(raw, ((0, 0), (0, more * quants.FORMATS[name].n_bytes)))
        assert same_bits(np.pad(x, ((0, 0), (0, more))) @ Table(wide, name).T, x @ Table(raw, name).T)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"F32", "F16", "BF16"}))
def test_hostile_scales_stay_in_their_row(name: str) -> None:
    """A row with infinite scales is no number or infinite, as the twin says; its neighbours keep their bits."""
    form, n_in = quants.FORMATS[name], 512
    raw, x = packed(name, 13, n_in, 3), np.abs(noise(4, 6, n_in)) + np.float32(0.5)
    clean = x @ Table(raw, name).T
    hostile = raw.copy()
    for row, scale in ((2, np.inf), (5, -np.inf), (6, np.nan), (12, np.inf)):
        blocks = hostile[row].reshape(-1, form.n_bytes)
        with_scales(blocks, name, np.full(len(blocks), scale))
    y = x @ Table(hostile, name).T
    calm = [row for row in range(13) if row not in (2, 5, 6, 12)]
    assert same_bits(np.ascontiguousarray(y[:, calm]), np.ascontiguousarray(clean[:, calm]))
    with np.errstate(all="ignore"):
        twin = x @ quants.dequantize(hostile, name).T
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(twin))


def test_denormals_are_kept() -> None:
    tiny = np.float32(1e-39)
    assert (np.full((1, 16), tiny) @ Table.of(np.ones((1, 16), np.float32)).T)[0, 0] == pytest.approx(
        16e-39, rel=1e-5
    )


@few
@given(st.sampled_from(FORMATS), st.integers(1, 45), st.integers(1, 600), seeds)
def test_rows_are_decoded_to_the_twins_bits(name: str, n_out: int, some: int, seed: int) -> None:
    raw = packed(name, n_out, length(name, some), seed)
    ids = np.random.default_rng(seed).integers(0, n_out, 23)
    table = Table(raw, name)
    assert same_bits(table[ids], quants.dequantize(raw[ids], name))
    assert same_bits(table.float32(), quants.dequantize(raw, name))


def test_two_callers_at_once_disturb_nobody() -> None:
    jobs = [(noise(i, 3 + 9 * i, 512), Table(packed("Q4_1", 257, 512, i), "Q4_1").T) for i in range(4)]
    alone = [x @ W for x, W in jobs]
    wrong: list[int] = []

    def again(i: int) -> None:
        for _ in range(60):
            if not same_bits(jobs[i][0] @ jobs[i][1], alone[i]):
                wrong.append(i)

    threads = [threading.Thread(target=again, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- attention ----------------------------------------------------------------------------------------------------

shapes = st.tuples(
    st.integers(1, 40),  # queries
    st.integers(0, 60),  # keys before them
    st.integers(1, 3),  # key and value heads
    st.integers(1, 4),  # query heads for each
    st.sampled_from([1, 2, 6, 15, 16, 20, 32, 64, 80, 130]),  # d_head
    st.one_of(st.none(), st.integers(1, 50)),  # window
)


def queries_keys_values(shape: tuple, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_q, before, n_kv_head, group, d_head, _ = shape
    n_k = n_q + before
    return (
        noise(seed, n_q, n_kv_head * group, d_head) * np.float32(3),
        noise(seed + 1, n_k, n_kv_head, d_head),
        noise(seed + 2, n_k, n_kv_head, d_head),
    )


def attention_in_double(q: np.ndarray, k: np.ndarray, v: np.ndarray, window: int | None) -> np.ndarray:
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k.astype(np.float64), group, axis=1), np.repeat(v.astype(np.float64), group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q.astype(np.float64), k) / np.sqrt(q.shape[2])
    positions = np.arange(k.shape[0])
    allowed = ops.causal_mask(positions[k.shape[0] - q.shape[0] :], positions, window)
    scores = np.where(allowed, scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("hqk,khd->qhd", shares / shares.sum(axis=-1, keepdims=True), v)


@few
@given(shapes, seeds)
def test_attention_is_attention(shape: tuple, seed: int) -> None:
    q, k, v = queries_keys_values(shape, seed)
    z = attention.attention(q, k, v, shape[-1])
    np.testing.assert_allclose(z, attention_in_double(q, k, v, shape[-1]), atol=2e-5)


@few
@given(shapes, seeds)
def test_attentions_bits_are_its_querys_own(shape: tuple, seed: int) -> None:
    """One query or many, in one call or step by step, whole or in its three parts, on any number of threads."""
    window = shape[-1]
    q, k, v = queries_keys_values(shape, seed)
    n_q, n_k = len(q), len(k)
    z = same_with_threads(lambda: attention.attention(q, k, v, window))
    for i in {0, n_q // 2, n_q - 1}:
        last = n_k - n_q + i + 1
        assert same_bits(attention.attention(q[i : i + 1], k[:last], v[:last], window), z[i : i + 1])
    qk = attention.scores(q, k)
    allowed = ops.causal_mask(np.arange(n_k - n_q, n_k), np.arange(n_k), window)
    pattern = rows.softmax(np.where(allowed, qk * np.float32(1 / np.sqrt(q.shape[2])), np.float32(-np.inf)))
    assert same_bits(attention.mix(pattern, v, causal=True, window=window), z)
    # a head alone among all
    group = q.shape[1] // k.shape[1]
    head = seed % k.shape[1]
    mine = np.ascontiguousarray(q[:, head * group : (head + 1) * group])
    alone = attention.attention(mine, k[:, head : head + 1], v[:, head : head + 1], window)
    assert same_bits(alone, np.ascontiguousarray(z[:, head * group : (head + 1) * group]))


def test_nobody_looks_ahead() -> None:
    """What a query may not see may be infinite or no number."""
    q, k, v = queries_keys_values((4, 3, 2, 2, 20, None), 1)
    z = attention.attention(q, k, v, None)
    k[-1], v[-1] = np.inf, np.nan
    assert same_bits(attention.attention(q, k, v, None)[:-1], z[:-1])


def test_a_mix_of_a_changed_pattern_sees_every_key() -> None:
    _, _, v = queries_keys_values((5, 2, 2, 3, 20, None), 2)
    pattern = noise(3, 6, 5, 7)
    z = attention.mix(pattern, v, causal=False)
    np.testing.assert_allclose(z, ops.weighted_values(pattern, v), atol=1e-5)
    assert not np.allclose(z, attention.mix(pattern, v, causal=True), atol=1e-2)


# -- rows and numbers ---------------------------------------------------------------------------------------------


@few
@given(st.integers(1, 20), st.integers(1, 300), seeds)
def test_softmax(n_rows: int, n: int, seed: int) -> None:
    x = noise(seed, n_rows, n) * np.float32(10)
    y = same_with_threads(lambda: rows.softmax(x))
    e = np.exp((x - x.max(axis=-1, keepdims=True)).astype(np.float64))
    np.testing.assert_allclose(y, e / e.sum(axis=-1, keepdims=True), rtol=2e-6, atol=1e-44)
    assert same_bits(rows.softmax(x[-1:]), y[-1:])
    behind = np.pad(x, ((0, 0), (0, seed % 50)), constant_values=-np.inf)
    wide = rows.softmax(behind)
    assert same_bits(np.ascontiguousarray(wide[:, :n]), y)
    assert not wide[:, n:].any()


@few
@given(st.integers(1, 20), st.integers(1, 700), seeds)
def test_norms(n_rows: int, n: int, seed: int) -> None:
    x = noise(seed, n_rows, n)
    scale, centred = same_with_threads(lambda: rows.rms_scale(x, 1e-5)), same_with_threads(lambda: rows.centre(x))
    double = x.astype(np.float64)
    np.testing.assert_allclose(scale, np.sqrt((double**2).mean(axis=-1, keepdims=True) + 1e-5), rtol=1e-6)
    np.testing.assert_allclose(centred, double - double.mean(axis=-1, keepdims=True), atol=1e-6)
    assert same_bits(rows.rms_scale(x[-1:], 1e-5), scale[-1:])
    assert same_bits(rows.centre(x[-1:]), centred[-1:])


@pytest.mark.parametrize("activation", sorted(rows.ACTIVATIONS))
def test_activations_are_the_equations(activation: str) -> None:
    x = np.concatenate([np.linspace(-100, 100, 20011, dtype=np.float32), noise(5, 999)])
    y = same_with_threads(lambda: rows.activate(x, activation))
    with np.errstate(all="ignore"):
        twin = ops.ACTIVATIONS[activation](x.astype(np.float64))
        np.testing.assert_allclose(y, twin, rtol=2e-6, atol=5e-7)
        # far out, the equations' own ends: 0 below, x above
        ends = np.array([-np.inf, np.inf, np.nan, -3e38, 3e38, 0.0, 1e-40], np.float32)
        found = rows.activate(ends, activation)
    assert np.isnan(found[2])
    assert found[1] == np.inf
    assert found[4] == np.float32(3e38)
    assert found[3] == 0
    assert found[5] == 0


@few
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 70), seeds)
def test_rope_has_numpys_bits(n_pos: int, n_head: int, half: int, seed: int) -> None:
    x, cos, sin = noise(seed, n_pos, n_head, 2 * half), noise(seed + 1, n_pos, half), noise(seed + 2, n_pos, half)
    first, second = x[..., :half], x[..., half:]
    c, s = cos[:, None], sin[:, None]
    twin = np.concatenate([first * c - second * s, second * c + first * s], axis=-1)
    assert same_bits(same_with_threads(lambda: rows.apply_rope(x, cos, sin)), twin)


# -- sets of instructions -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def from_this_process() -> dict[str, np.ndarray]:
    return everything()


@pytest.mark.parametrize("isa", ISAS)
def test_every_set_of_instructions_gives_the_same(isa: str, from_this_process: dict, tmp_path: Path) -> None:
    """The same bits where there are fused multiply-adds; without them (plain), the same to a few last bits."""
    path = tmp_path / "all.npz"
    in_a_process_of_its_own(f"from tests.support.native_cases import keep; keep({str(path)!r})", isa)
    with np.load(path) as found:
        assert set(found) == set(from_this_process)
        for name, ours in from_this_process.items():
            if "plain" in (isa, NATIVE.isa()):
                largest = np.abs(ours[np.isfinite(ours)]).max()
                np.testing.assert_allclose(found[name], ours, rtol=3e-6, atol=1e-6 * largest, err_msg=name)
            else:
                assert same_bits(found[name], ours), name


def test_a_wrong_set_is_refused_in_one_sentence() -> None:
    code = "from cutaway.kernels import _native"
    run = subprocess.run([sys.executable, "-c", code], env={"CUTAWAY_ISA": "mmx"}, capture_output=True, text=True)
    assert run.returncode != 0
    assert 'CUTAWAY_ISA is "mmx"; this machine runs ' in run.stderr


def test_the_twin_serves_where_the_module_is_switched_off() -> None:
    code = (
        "from cutaway.kernels import native; import numpy as np; from cutaway.kernels.products import Table; "
        "y = np.ones((2, 3), np.float32) @ Table.of(np.ones((4, 3), np.float32)).T; "
        "print(native.MODULE, native.REASON, y.sum())"
    )
    found = in_a_process_of_its_own(code, "", CUTAWAY_NATIVE="off")
    assert found.split("\n")[0] == "None CUTAWAY_NATIVE says off 24.0"
    assert native.MODULE is not None
