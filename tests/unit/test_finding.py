"""The largest neurons, the cosine of two texts by depth, search in a vocabulary: against the plain definitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import cutaway
from cutaway.analysis import Vocabulary, attribute_neurons, cosines, largest_neurons
from cutaway.errors import BadInput, BadSelection
from tests.support.tiny import some_ids, tiny_model

# -- neurons -----------------------------------------------------------------------------------------------------


def test_the_largest_are_the_largest(any_shape: cutaway.Model) -> None:
    trace = any_shape.trace(some_ids(7))
    found = largest_neurons(trace, 5, k=12, position=3)
    everything = [
        (abs(float(value)), layer, n)
        for layer in range(3)
        for n, value in enumerate(trace[f"blocks.{layer}.mlp.post"][3])
    ]
    expected = sorted(everything, key=lambda each: (-each[0], each[1], each[2]))[:12]
    assert [(each.layer, each.neuron) for each in found] == [(layer, n) for _, layer, n in expected]
    assert len({each.layer for each in found}) > 1
    for each in found:  # what it wrote is what the attribution says of it
        own = attribute_neurons(trace, each.layer, 5, k=48, position=3).neurons
        same = next(one for one in own if one.neuron == each.neuron)
        assert each.activation == pytest.approx(same.activation, rel=1e-5)
        assert each.value == pytest.approx(same.value, rel=1e-3, abs=1e-5)


def test_by_value_those_that_wrote_most(any_shape: cutaway.Model) -> None:
    trace = any_shape.trace(some_ids(7))
    found = largest_neurons(trace, 5, k=3 * 48, position=3, by="value")
    wrote = [abs(each.value) for each in found]
    assert len(found) == 3 * 48 and wrote == sorted(wrote, reverse=True)
    for layer in range(3):
        own = attribute_neurons(trace, layer, 5, k=48, position=3).neurons
        here = {each.neuron: each for each in found if each.layer == layer}
        assert len(here) == 48
        for each in own:
            assert here[each.neuron].value == pytest.approx(each.value, rel=1e-3, abs=1e-5)
            assert here[each.neuron].activation == pytest.approx(each.activation, rel=1e-5)
    few = largest_neurons(trace, 5, k=4, position=3, by="value")
    assert few == found[:4]
    assert [each.neuron for each in few] != [each.neuron for each in largest_neurons(trace, 5, k=4, position=3)]


def test_against_another_token_and_at_the_end() -> None:
    trace = tiny_model("gpt2").trace(some_ids(7))
    lead = largest_neurons(trace, 5, against=9)
    five, nine = (largest_neurons(trace, token) for token in (5, 9))
    assert len(lead) == 20
    for a, b, c in zip(lead, five, nine, strict=True):
        assert a.value == pytest.approx(b.value - c.value, abs=1e-4)
    assert [each.neuron for each in largest_neurons(trace, 5, position=6)] == [each.neuron for each in five]
    assert len(largest_neurons(trace, 5, k=1000)) == 3 * 48 and largest_neurons(trace, 5, k=0) == []
    with pytest.raises(BadInput):
        largest_neurons(trace, 97)
    with pytest.raises(BadSelection):
        largest_neurons(trace, 5, position=7)


# -- cosines -----------------------------------------------------------------------------------------------------


def test_cosines_are_the_plain_ones(any_shape: cutaway.Model) -> None:
    one, other = any_shape.trace(some_ids(6, seed=1)), any_shape.trace(some_ids(8, seed=2))
    found = cosines(one, other, [(0, 3), (-1, -1)])
    assert found.depths == ("blocks.0.resid_pre", *(f"blocks.{i}.resid_post" for i in range(3)))
    assert found.pairs == ((0, 3), (5, 7))
    for (a, b), row in zip(found.pairs, found.cosine, strict=True):
        for name, cosine in zip(found.depths, row, strict=True):
            x, y = one[name][a].astype(np.float64), other[name][b].astype(np.float64)
            assert cosine == pytest.approx(float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)), abs=1e-5)


def test_one_token_in_two_contexts_starts_as_one_vector() -> None:
    model = tiny_model("llama-gqa")
    found = cosines(model.trace([4, 9, 7]), model.trace([8, 2, 7]))
    assert found.pairs == ((0, 0), (1, 1), (2, 2))
    assert found.cosine[2, 0] == pytest.approx(1, abs=1e-6) and found.cosine[2, 1:].max() < 0.999
    same = cosines(model.trace([4, 9, 7]), model.trace([4, 9, 7]))
    np.testing.assert_allclose(same.cosine, 1, atol=1e-6)
    assert same.cosine.max() <= 1


def test_cosines_of_what_has_no_direction_and_of_what_is_large() -> None:
    model = tiny_model("llama-gqa")
    zero = model.intervene({"embed": cutaway.zero(pos=1)}).trace([4, 9])
    found = cosines(zero, model.trace([4, 9])).cosine
    assert np.isnan(found[1, 0]) and np.isfinite(found[0]).all()
    huge = model.intervene({"blocks.2.resid_post": cutaway.scale(1e25)}).trace([4, 9])  # its square is no float32
    assert cosines(huge, model.trace([4, 9])).cosine[0, 3] == pytest.approx(1, abs=1e-6)
    with pytest.raises(BadInput, match="cosines need the same"):
        cosines(zero, tiny_model("llama-gqa", n_layer=2).trace([4, 9]))
    with pytest.raises(BadSelection, match="second trace"):
        cosines(zero, zero, [(0, 2)])
    assert cosines(zero, zero, []).cosine.shape == (0, 4)


# -- vocabulary --------------------------------------------------------------------------------------------------


@dataclass
class Piece:
    raw: bytes

    @property
    def bytes(self) -> bytes:
        return self.raw

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")

    @property
    def display(self) -> str:
        return self.text.replace(" ", "␣").replace("\n", "⏎")


WORDS = [
    b"peace", b" peace", b"Peace", b" peaceful", b"repeace", b"12", b"3", b"\xe2\x80\x99", b"\n\n", b" war",
    b"abc", b"e2", b" Peace treaty",
]  # fmt: skip
VOCABULARY = Vocabulary(lambda id: Piece(WORDS[id]), len(WORDS))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("peace", [0, 2, 1, 3, 12, 4]),  # the whole text, its beginning, anywhere; short before long
        ("PEACE", [0, 2, 1, 3, 12, 4]),
        (" peace", [1, 3, 12]),
        ("peace ", [0, 2, 1, 3, 12, 4]),
        ("12", [12, 5]),  # the token of that id first, then the text
        ("#3", [3]),
        ("3", [3, 6]),
        ("e2 80 99", [7]),
        ("0xe28099", [7]),
        ("e2", [11]),
        ("’", [7]),
        ("⏎", [8]),
        ("ab c", []),
        ("zebra", []),
        ("   ", []),
        ("", []),
        ("99999999", []),
    ],
)
def test_what_a_query_means(query: str, expected: list[int]) -> None:
    found = VOCABULARY.search(query)
    assert list(found.ids) == expected and found.total == len(expected)


def test_only_the_first_are_given_and_all_are_counted() -> None:
    found = VOCABULARY.search("peace", 2)
    assert found.ids == (0, 2) and found.total == 6
    assert VOCABULARY.search("peace", 0).ids == ()


def test_bytes_are_found_by_hex() -> None:
    assert VOCABULARY.search("616263").ids == (10,)
