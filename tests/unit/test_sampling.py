"""Each filter by hand, the draw, and why a token was chosen."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from cutaway.errors import BadInput, BadNumbers
from cutaway.generation.choice import choose
from cutaway.generation.sampling import (
    Sampling,
    divide,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize,
    probabilities,
    ranked,
    uniform,
)


def scores_of(*shares: float) -> np.ndarray:
    """Logits whose softmax is exactly these shares, as near as float32 goes."""
    return np.log(np.asarray(shares)).astype(np.float32)


def kept(scores: np.ndarray) -> list[int]:
    return [int(i) for i in np.flatnonzero(scores > -math.inf)]


def some_logits(n: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, n).astype(np.float32)


# -- filters -----------------------------------------------------------------------------------------------------


def test_the_penalty_divides_positive_scores_and_multiplies_negative_ones() -> None:
    scores = np.array([2.0, -2.0, 3.0, -3.0, 0.0], dtype=np.float32)
    np.testing.assert_array_equal(penalize(scores, np.array([0, 1, 4]), 2.0), [1.0, -4.0, 3.0, -3.0, 0.0])
    np.testing.assert_array_equal(scores, [2.0, -2.0, 3.0, -3.0, 0.0])  # the logits themselves are kept


def test_the_temperature_divides() -> None:
    np.testing.assert_array_equal(divide(np.array([1.0, -3.0], dtype=np.float32), 0.5), [2.0, -6.0])


@pytest.mark.parametrize(
    ("top_k", "expected"), [(1, [2]), (2, [0, 2]), (3, [0, 2, 3, 4]), (4, [0, 2, 3, 4]), (9, None)]
)
def test_top_k_keeps_the_largest_and_their_equals(top_k: int, expected: list[int] | None) -> None:
    scores = np.array([4.0, 1.0, 5.0, 2.0, 2.0], dtype=np.float32)
    assert kept(keep_top_k(scores, top_k)) == (expected or [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.001, [1]), (0.49, [1]), (0.51, [1, 3]), (0.79, [1, 3]), (0.81, [0, 1, 3]), (0.999, None)],
)
def test_top_p_keeps_the_token_that_crosses(top_p: float, expected: list[int] | None) -> None:
    scores = scores_of(0.15, 0.5, 0.05, 0.3)
    assert kept(keep_top_p(scores, top_p)) == (expected or [0, 1, 2, 3])


def test_top_p_takes_equals_by_id() -> None:
    assert kept(keep_top_p(scores_of(0.25, 0.25, 0.25, 0.25), 0.4)) == [0, 1]
    assert kept(keep_top_p(scores_of(0.25, 0.25, 0.25, 0.25), 0.5)) == [0, 1]  # exactly enough is enough


@pytest.mark.parametrize(("min_p", "expected"), [(0.09, [0, 1, 2, 3]), (0.11, [0, 1, 3]), (0.61, [1]), (1.0, [1])])
def test_min_p_measures_against_the_likeliest(min_p: float, expected: list[int]) -> None:
    assert kept(keep_min_p(scores_of(0.15, 0.5, 0.05, 0.3), min_p)) == expected


def test_filters_see_what_the_ones_before_left() -> None:
    """After top-k the rest is a whole of its own: 0.5 of 0.8 is 62 %, so top-p 0.6 needs no second token."""
    scores = scores_of(0.15, 0.5, 0.05, 0.3)
    assert kept(Sampling(top_p=0.6).process(scores)) == [1, 3]
    assert kept(Sampling(top_k=2, top_p=0.6).process(scores)) == [1]
    assert kept(Sampling(temperature=0.5, top_p=0.6).process(scores)) == [1]


def test_the_order_is_that_of_transformers() -> None:
    every = Sampling(0.7, top_k=40, top_p=0.9, min_p=0.05, repetition_penalty=1.1)
    assert [name for name, _ in every.stages()] == ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    assert Sampling(1.0, top_p=1.0, min_p=0.0, repetition_penalty=1.0).stages() == ()
    greedy = Sampling(0, top_k=40, top_p=0.9, min_p=0.05, repetition_penalty=1.1)
    assert [name for name, _ in greedy.stages()] == ["repetition_penalty", "greedy"]


def test_everything_stays_float32() -> None:
    sampling = Sampling(0.7, top_k=40, top_p=0.9, min_p=0.05, repetition_penalty=1.1)
    for stage in choose(some_logits(), sampling, np.array([1, 2]), 0, 0).stages():
        assert stage.scores.dtype == np.float32, stage.name


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -0.1},
        {"temperature": 1e-9},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "warm"},
        {"temperature": True},
        {"top_k": 0},
        {"top_k": -1},
        {"top_k": 2.5},
        {"top_k": True},
        {"top_p": 0},
        {"top_p": 1.01},
        {"top_p": math.nan},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"min_p": math.nan},
        {"repetition_penalty": 0},
        {"repetition_penalty": -1.0},
        {"repetition_penalty": math.inf},
    ],
    ids=str,
)
def test_a_number_out_of_range_is_named(bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises(BadInput, match=rf"^{name} is .*; expected .*\.$"):
        Sampling(**bad)


def test_logits_that_are_no_numbers_choose_nothing() -> None:
    for wrong, named in ((math.nan, "not-a-number"), (math.inf, "infinity")):
        logits = some_logits()
        logits[3] = wrong
        for sampling in (Sampling(), Sampling(0), Sampling(0, repetition_penalty=1.1), Sampling(top_k=1)):
            with pytest.raises(BadNumbers, match=named):
                choose(logits, sampling, np.array([1]), 0, 0)
    with pytest.raises(BadNumbers, match="only infinities"):
        choose(np.full(5, -math.inf, dtype=np.float32), Sampling(), None, 0, 0)


# -- the draw ----------------------------------------------------------------------------------------------------


def test_random_numbers_are_the_same_for_ever() -> None:
    """Written down once: a seed that a reader keeps must give the same text in every later version."""
    assert uniform(0, 0) == 0.011546754286331562
    assert uniform(1, 0) == 0.3035680343067586
    assert uniform(0, 1) == 0.8133540609793564
    assert uniform(2**64 - 1, 10**6) == 0.5105042479420184


def test_random_numbers_are_even_and_apart() -> None:
    drawn = np.array([uniform(seed, index) for seed in range(100) for index in range(100)])
    assert len(set(drawn.tolist())) == 10_000
    counts = np.histogram(drawn, bins=50, range=(0.0, 1.0))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 85.4  # chi-square, 49 degrees of freedom: 0.1 % lie above


def test_tokens_stand_by_falling_score_and_equals_by_id() -> None:
    order, running, total = ranked(np.array([0.0, 1.0, -math.inf, 1.0, 2.0], dtype=np.float32))
    assert order.tolist() == [4, 1, 3, 0]
    weights = np.exp([0.0, -1.0, -1.0, -2.0])
    np.testing.assert_allclose(running, np.cumsum(weights))
    assert total == pytest.approx(weights.sum())


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 6.0])
def test_the_row_does_not_depend_on_how_far_it_was_sorted(spread: float) -> None:
    scores = (np.round(some_logits(20_000) * 4) / 4 * np.float32(spread)).astype(np.float32)  # many equals
    order, running, total = ranked(scores)
    lengths = set()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        part, sums, whole = ranked(scores, share)
        lengths.add(len(part))
        np.testing.assert_array_equal(part, order[: len(part)])
        np.testing.assert_array_equal(sums, running[: len(part)])
        assert whole == total
        assert sums[-1] > share * total or len(part) == len(order)
    assert min(lengths) < 20_000  # a part was enough for some


def test_the_draw_is_where_u_falls() -> None:
    scores = scores_of(0.15, 0.5, 0.05, 0.3)  # in the row: 1, 3, 0, 2
    for u, token in ((0.0, 1), (0.49, 1), (0.51, 3), (0.79, 3), (0.81, 0), (0.94, 0), (0.96, 2), (1 - 2**-53, 2)):
        assert draw(scores, u) == token
    assert draw(np.zeros(2, dtype=np.float32), 0.5) == 1  # an edge belongs to the token that begins there


def test_the_row_is_that_of_a_stable_sort() -> None:
    scores = np.round(some_logits(3000) * 4) / 4
    scores[::7] *= np.float32(-0.0)  # zeros of both signs are equal
    order, _, _ = ranked(scores)
    np.testing.assert_array_equal(order, np.argsort(-scores, kind="stable"))
    assert {-0.0, 0.0} <= set(scores.tolist()) and np.signbit(scores[scores == 0]).any()


def test_a_draw_at_the_very_edge_finds_a_token_that_has_width() -> None:
    scores = np.array([0.0, -2000.0, -3000.0, 0.0], dtype=np.float32)  # exp underflows to 0 in the middle
    assert draw(scores, 1 - 2**-53) == 3


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.6, top_k=8, top_p=0.9, min_p=0.02)])
def test_draws_follow_the_probabilities(sampling: Sampling) -> None:
    logits = some_logits(12, seed=3) / np.float32(2)
    n = 20_000
    counts = np.bincount([choose(logits, sampling, None, seed, 5).token_id for seed in range(n)], minlength=12)
    expected = probabilities(sampling.process(logits)) * n
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    chi_square = float(((counts - expected)[possible] ** 2 / expected[possible]).sum())
    assert chi_square < 31.3  # 11 degrees of freedom: 0.1 % lie above (fewer degrees: fewer still)


# -- why this token ----------------------------------------------------------------------------------------------


def test_every_stage_is_the_processing_so_far() -> None:
    logits, seen = some_logits(), np.arange(0, 500, 3)
    sampling = Sampling(0.8, top_k=50, top_p=0.9, min_p=0.05, repetition_penalty=1.3)
    choice = choose(logits, sampling, seen, seed=4, index=2)
    stages = choice.stages()
    assert [stage.name for stage in stages] == [
        "raw",
        "repetition_penalty",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
    ]
    np.testing.assert_array_equal(stages[0].scores, logits)
    np.testing.assert_array_equal(stages[1].scores, penalize(logits, seen, 1.3))
    np.testing.assert_array_equal(stages[2].scores, divide(stages[1].scores, 0.8))
    np.testing.assert_array_equal(stages[-1].scores, sampling.process(logits, seen))
    counts = [stage.kept for stage in stages]
    assert counts[:4] == [500, 500, 500, 50] and counts[3] > counts[4] >= counts[5] >= 1
    assert choice.kept() == {stage.name: stage.kept for stage in stages}
    for stage in stages:
        assert stage.probabilities.sum() == pytest.approx(1.0, abs=1e-12)
        assert (stage.probabilities[stage.scores == -math.inf] == 0).all()


def test_candidates_say_what_happened_to_each() -> None:
    logits = some_logits()
    choice = choose(logits, Sampling(0.8, top_k=5, top_p=0.9), None, seed=4, index=2)
    shown = choice.candidates(8)
    assert [each.token_id for each in shown] == np.argsort(-logits)[:8].tolist()
    assert [each.rank for each in shown] == list(range(1, 9))
    assert [each.removed_by for each in shown[5:]] == ["top_k"] * 3
    assert {each.removed_by for each in shown[:5]} <= {None, "top_p"}
    for each in shown:
        assert each.logit == logits[each.token_id]
        assert each.plain_probability == pytest.approx(float(probabilities(logits)[each.token_id]))
        assert (each.probability == 0) == (each.removed_by is not None) == (each.interval is None)
        if each.interval is not None:
            assert each.interval[1] - each.interval[0] == pytest.approx(each.probability)
            assert choice.u is not None
            assert each.chosen == (each.interval[0] <= choice.u < each.interval[1])
    assert [each.token_id for each in shown if each.chosen] == [choice.token_id]


def test_an_unlikely_chosen_token_is_shown_too() -> None:
    logits = np.zeros(300, dtype=np.float32)
    choice = next(c for c in (choose(logits, Sampling(), None, seed, 0) for seed in range(50)) if c.token_id > 100)
    last = choice.candidates(20)[-1]
    assert len(choice.candidates(20)) == 21
    assert last.chosen and last.token_id == last.rank - 1 == choice.token_id


def test_around_the_draw_the_row_is_unbroken() -> None:
    choice = choose(some_logits(), Sampling(1.2, top_k=100), None, seed=11, index=0)
    row = choice.around(2)
    assert choice.u is not None
    for left, right in itertools.pairwise(row):
        assert left.high == right.low
        assert choice.logits[left.token_id] >= choice.logits[right.token_id]
    (own,) = [each for each in row if each.low <= choice.u < each.high]
    assert own.token_id == choice.token_id
    whole = choice.around(1000)
    assert (whole[0].low, whole[-1].high, len(whole)) == (0.0, 1.0, 100)


def test_greedy_takes_the_first_of_the_largest() -> None:
    logits = np.array([1.0, 3.0, 3.0], dtype=np.float32)
    choice = choose(logits, Sampling(0), None, 0, 0)
    assert (choice.token_id, choice.u) == (1, None)
    assert [each.probability for each in choice.candidates()] == [1.0, 0.0, 0.0]
    assert choice.candidates()[0].interval == (0.0, 1.0)
    assert choose(logits, Sampling(0, repetition_penalty=1.5), np.array([1]), 0, 0).token_id == 2
