"""What holds of every filter, draw and stop string, whatever the numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutaway.generation.choice import choose
from cutaway.generation.sampling import Sampling, draw, keep_min_p, keep_top_k, keep_top_p, probabilities, ranked
from cutaway.generation.stopping import StoppableText

FINITE = st.floats(-1e4, 1e4, width=32)
# Halves, so that equal scores are common.
SCORES = st.one_of(
    arrays(np.float32, st.integers(1, 40), elements=FINITE),
    arrays(np.float32, st.integers(1, 40), elements=st.integers(-4, 4).map(lambda n: n / 2)),
)
UNIT = st.floats(0, 1, exclude_max=True)
SAMPLING = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0), st.floats(0.05, 10)),
    top_k=st.one_of(st.none(), st.integers(1, 50)),
    top_p=st.one_of(st.none(), st.floats(0, 1, exclude_min=True)),
    min_p=st.one_of(st.none(), st.floats(0, 1)),
    repetition_penalty=st.one_of(st.none(), st.floats(0.5, 2)),
)


def kept(scores: np.ndarray) -> set[int]:
    return set(np.flatnonzero(scores > -math.inf).tolist())


@given(SCORES, SAMPLING, st.integers(0, 2**64 - 1), st.integers(0, 10_000))
def test_something_survives_and_what_is_drawn_is_of_it(
    logits: np.ndarray, sampling: Sampling, seed: int, index: int
) -> None:
    seen = np.arange(0, len(logits), 2)
    choice = choose(logits, sampling, seen, seed, index)
    stages = choice.stages()
    for before, after in itertools.pairwise(stages):
        assert 1 <= after.kept <= before.kept
        assert kept(after.scores) <= kept(before.scores)
        assert math.isclose(after.probabilities.sum(), 1.0, abs_tol=1e-9)
    assert choice.token_id in kept(stages[-1].scores)
    again = choose(logits, sampling, seen, seed, index)
    assert (again.token_id, again.u) == (choice.token_id, choice.u)
    (chosen,) = [each for each in choice.candidates() if each.chosen]
    assert chosen.probability > 0 and chosen.interval is not None
    if choice.u is not None:
        # The edges shown are shares of the last running sum, the draw's of the sum in another order.
        assert chosen.interval[0] - 1e-12 <= choice.u <= chosen.interval[1] + 1e-12


@given(SCORES, st.integers(1, 50), st.integers(1, 50))
def test_a_wider_top_k_keeps_more(scores: np.ndarray, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert kept(keep_top_k(scores, small)) <= kept(keep_top_k(scores, large))
    assert len(kept(keep_top_k(scores, small))) >= min(small, len(scores))


@given(SCORES, st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_wider_top_p_keeps_more_and_never_too_little(scores: np.ndarray, a: float, b: float) -> None:
    small, large = sorted((a, b))
    few, many = kept(keep_top_p(scores, small)), kept(keep_top_p(scores, large))
    assert few <= many
    shares = probabilities(scores)
    assert shares[list(few)].sum() >= small - 1e-9
    if len(few) > 1:  # without its least likely it would be too little
        assert shares[list(few)].sum() - shares[list(few)].min() < small + 1e-9
    outside = set(range(len(scores))) - few
    assert not outside or scores[list(outside)].max() <= scores[list(few)].min()


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_min_p_keeps_less_and_always_the_best(scores: np.ndarray, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert int(scores.argmax()) in kept(keep_min_p(scores, high)) <= kept(keep_min_p(scores, low))


@given(SCORES, UNIT, UNIT)
def test_a_larger_u_falls_no_earlier_in_the_row(scores: np.ndarray, a: float, b: float) -> None:
    order, _, _ = ranked(scores)
    places = [order.tolist().index(draw(scores, u)) for u in sorted((a, b))]
    assert places == sorted(places)


# -- stop strings ------------------------------------------------------------------------------------------------


class Letters:
    """A decoder whose ids are pieces of a text."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces

    def feed(self, token_id: int) -> str:
        return self.pieces[token_id]

    def flush(self) -> str:
        return ""


def cut(text: str, stops: list[str]) -> str:
    """By the definition: when the text first ends with a stop string, it is cut before the longest such."""
    for end in range(1, len(text) + 1):
        ending = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(ending)]
    return text


@given(
    st.text("ab", max_size=12).flatmap(lambda text: st.tuples(st.just(text), st.lists(st.integers(0, len(text))))),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_do_not_depend_on_the_pieces(cuts: tuple[str, list[int]], stops: list[str]) -> None:
    text, places = cuts
    edges = [0, *sorted(places), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    stoppable = StoppableText(Letters(pieces), stops)
    out = ""
    for token in range(len(pieces)):
        out += stoppable.feed(token)
        if stoppable.stopped:
            break
        so_far = "".join(pieces[: token + 1])
        assert out + stoppable.held == so_far  # nothing is lost, nothing comes twice
        assert not any(stop in so_far for stop in stops)
        held = stoppable.held
        assert held == "" or any(stop.startswith(held) for stop in stops)
    out += stoppable.flush()
    assert out == cut(text, stops)
    assert stoppable.stopped == any(stop in text for stop in stops)
