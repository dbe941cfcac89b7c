"""The pure functions, against numbers worked out by hand and against the mathematics they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cutaway.config import RopeScaling
from cutaway.models.run import Run
from cutaway.ops import (
    activate,
    apply_rope,
    attention,
    causal_mask,
    join_heads,
    log_softmax,
    rms_norm,
    rope_angles,
    rope_frequencies,
    softmax,
)
from tests.support.tiny import tiny_config


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_softmax_by_hand() -> None:
    shares = softmax(f32(math.log(1), math.log(2), math.log(5)))  # 1/8, 2/8, 5/8
    np.testing.assert_allclose(shares, [0.125, 0.25, 0.625], rtol=1e-6)
    assert softmax(f32(0, -math.inf))[1] == 0
    np.testing.assert_allclose(softmax(f32(1e4, 1e4)), 0.5)  # no overflow
    np.testing.assert_allclose(log_softmax(f32(0, 0, 0, 0)), -math.log(4), rtol=1e-6)


def test_rms_norm_by_hand() -> None:
    # the mean square of (3, 4) is 12.5; its root 3.5355
    np.testing.assert_allclose(rms_norm(f32(3, 4), f32(1, 2), 0.0), [0.848528, 2.262742], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("gelu", lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
        ("gelu_new", lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("relu", lambda x: max(x, 0.0)),
    ],
)
def test_activations(name: str, exact: object) -> None:
    x = np.linspace(-30, 30, 601, dtype=np.float32)
    y = activate(x, name)  # type: ignore[arg-type]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [exact(float(each)) for each in x], rtol=2e-6, atol=2e-6)  # type: ignore[operator]
    assert np.isfinite(activate(f32(-1e4, 1e4), name)).all()  # type: ignore[arg-type]


def test_rope_turns_the_half_split_pairs() -> None:
    """Pair (j, j + d/2) turns by position × base^(-2j/d); a quarter turn takes (1, 0) to (0, 1)."""
    cos, sin = f32(0, 1)[None], f32(1, 0)[None]  # the first pair by 90°, the second not at all
    x = f32(1, 5, 0, 7).reshape(1, 1, 4)
    np.testing.assert_array_equal(apply_rope(x, cos, sin).ravel(), [0, 5, 1, 7])


def test_rope_leaves_only_the_distance_in_a_product() -> None:
    config = tiny_config("llama-gqa", n_ctx=4096)
    draw = np.random.default_rng(0)
    q, k = (draw.normal(size=(1, 1, config.d_head)).astype(np.float32) for _ in range(2))

    def product(q_at: int, k_at: int) -> float:
        turned = [apply_rope(x, *rope_angles(config, np.array([at]))) for x, at in ((q, q_at), (k, k_at))]
        return float((turned[0] * turned[1]).sum())

    assert product(9, 4) == pytest.approx(product(105, 100), abs=1e-4)
    assert abs(product(9, 4) - product(9, 7)) > 0.01


def test_rope_scaling() -> None:
    plain = rope_frequencies(tiny_config("llama-gqa", d_head=16))
    linear = tiny_config("llama-gqa", d_head=16, rope_scaling=RopeScaling("linear", factor=4.0))
    np.testing.assert_allclose(rope_frequencies(linear), plain / 4, rtol=1e-6)
    bent = tiny_config("llama-gqa", d_head=16, rope_scaling=RopeScaling("llama3", 8.0, 1.0, 4.0, 256))
    ratio = plain / rope_frequencies(bent)
    assert ratio[0] == pytest.approx(1.0) and ratio[-1] == pytest.approx(8.0)  # fast pairs kept, slow ones slowed
    assert (np.diff(ratio) >= -1e-5).all() and any(1.01 < each < 7.99 for each in ratio)
    # a GGUF says the same by a table of divisors
    listed = RopeScaling("factors", factors=tuple(float(each) for each in ratio))
    table = tiny_config("llama-gqa", d_head=16, rope_scaling=listed)
    np.testing.assert_allclose(rope_frequencies(table), rope_frequencies(bent), rtol=1e-5)


def test_masks() -> None:
    three = np.arange(3)
    np.testing.assert_array_equal(causal_mask(three, three, None), np.tril(np.ones((3, 3), bool)))
    np.testing.assert_array_equal(causal_mask(three, three, 2), [[1, 0, 0], [1, 1, 0], [0, 1, 1]])
    np.testing.assert_array_equal(causal_mask(np.array([2]), three, None), [[1, 1, 1]])


def test_attention_by_hand() -> None:
    """One head of width 1: scores are products, the second query weighs both keys by softmax."""
    q, k, v = f32(1, 2).reshape(2, 1, 1), f32(0, math.log(3) / 2).reshape(2, 1, 1), f32(10, 20).reshape(2, 1, 1)
    z = attention(q, k, v).ravel()
    np.testing.assert_allclose(z, [10, 10 * 0.25 + 20 * 0.75], rtol=1e-6)  # e^0 : e^(2·ln3/2) = 1 : 3


@pytest.mark.parametrize("group", [1, 2, 4])
def test_grouped_heads_share_their_key_and_value_head(group: int) -> None:
    draw = np.random.default_rng(group)
    q = draw.normal(size=(5, 4, 8)).astype(np.float32)
    k, v = (draw.normal(size=(5, 4 // group, 8)).astype(np.float32) for _ in range(2))
    repeated = attention(q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1))
    np.testing.assert_allclose(attention(q, k, v), repeated, rtol=1e-5, atol=1e-6)


def test_joining_heads_is_the_sum_of_their_parts() -> None:
    draw = np.random.default_rng(5)
    z, W_O, b_O = (draw.normal(size=shape).astype(np.float32) for shape in ((3, 4, 8), (32, 16), (16,)))
    parts = sum(z[:, head] @ W_O[8 * head : 8 * head + 8] for head in range(4))
    np.testing.assert_allclose(join_heads(z, W_O, b_O), parts + b_O, rtol=1e-5, atol=1e-5)


def test_a_packed_batch_counts_positions_from_each_start() -> None:
    run = Run.of(tiny_config("llama-gqa"), np.zeros(1, np.float32), [2, 3])
    assert run.positions.tolist() == [0, 1, 0, 1, 2]
    assert run.segments == ((0, 2), (2, 5))
    assert run.cos.dtype == run.sin.dtype == np.float32
