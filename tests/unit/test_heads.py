"""Head statistics: against loops written out by hand, and on a text made for each habit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cutaway.analysis import heads as heads_module
from cutaway.analysis.heads import HeadAttention, head_scores, strongest
from cutaway.engine import Model
from cutaway.errors import BadSelection
from cutaway.trace.interventions import set_to
from tests.support.tiny import SHAPES, some_ids, tiny_model


def scores_by_hand(trace: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, n_layer, n_head = trace.ids, trace.config.n_layer, trace.config.n_head
    wanted: tuple[list[tuple[int, list[int]]], ...] = ([], [], [])
    for q in range(len(ids)):
        earlier = [k for k in range(q) if ids[k] == ids[q]]
        after = [k + 1 for k in earlier if k + 1 != q]
        for rows, keys in zip(wanted, ([q - 1] if q else [], earlier, after), strict=True):
            if keys:
                rows.append((q, keys))
    found = []
    for rows in wanted:
        scores = np.zeros((n_layer, n_head))
        for layer in range(n_layer):
            pattern = trace[f"blocks.{layer}.attn.pattern"]
            for head in range(n_head):
                weights = [sum(float(pattern[head, q, k]) for k in keys) for q, keys in rows]
                scores[layer, head] = sum(weights) / len(weights) if weights else 0.0
        found.append(scores)
    return found[0], found[1], found[2]


@pytest.mark.parametrize("kind", SHAPES)
def test_scores_are_their_definitions(kind: str) -> None:
    trace = tiny_model(kind).trace([4, 9, 9, 2, 4, 9, 1, 4, 2, 9, 9])
    found = head_scores(trace)
    previous, duplicate, induction = scores_by_hand(trace)
    np.testing.assert_allclose(found.previous_token, previous, atol=1e-6)
    np.testing.assert_allclose(found.duplicate_token, duplicate, atol=1e-6)
    np.testing.assert_allclose(found.induction, induction, atol=1e-6)
    assert (found.n_previous, found.n_duplicate, found.n_induction) == (10, 7, 6)
    assert found.induction.dtype == np.float32


@pytest.mark.parametrize("weights", [1, 50, 500])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, weights: int) -> None:
    trace = tiny_model("llama-gqa").trace(some_ids(12, n_vocab=4))
    whole = head_scores(trace).to_dict()
    monkeypatch.setattr(heads_module, "PATTERN_AT_ONCE", weights)
    chunked = head_scores(trace).to_dict()
    for name, value in whole.items():
        np.testing.assert_allclose(chunked[name], value, atol=1e-6)


def test_heads_made_for_it_score_one() -> None:
    """Patterns set by hand: head 0 looks back one, head 1 at the same token, head 2 at what followed it."""
    half = list(range(10, 18))
    ids = half + half
    n = len(ids)
    pattern = np.zeros((4, n, n), dtype=np.float32)
    for q in range(n):
        pattern[0, q, max(q - 1, 0)] = 1
        pattern[1, q, q - 8 if q >= 8 else q] = 1
        pattern[2, q, q - 7 if q >= 8 else q] = 1
        pattern[3, q, 0] = 1
    trace = tiny_model("gpt2").intervene({"blocks.1.attn.pattern": set_to(pattern)}).trace(ids)
    found = head_scores(trace)
    assert found.previous_token[1].tolist() == [1, 0, 0, 1 / np.float32(15)]
    assert found.duplicate_token[1, 1] == 1 and found.duplicate_token[1, 2] == 0
    assert found.induction[1, 2] == 1 and found.induction[1, 1] == 0
    assert (found.n_duplicate, found.n_induction) == (8, 8)
    assert found.induction[0].max() < 1


def test_nothing_to_measure_is_zero_of_none() -> None:
    found = head_scores(tiny_model("gpt2").trace([5]))
    assert (found.n_previous, found.n_duplicate, found.n_induction) == (0, 0, 0)
    assert not found.induction.any()
    twice = head_scores(tiny_model("gpt2").trace([5, 5]))
    assert (twice.n_duplicate, twice.n_induction) == (1, 0)  # "a a" does not point at itself
    assert json.loads(json.dumps(twice.to_dict()))["n_previous"] == 1


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("position", [-1, 3])
def test_strongest_is_the_largest_weight_of_each_head(kind: str, position: int) -> None:
    trace = tiny_model(kind).trace(some_ids(8))
    found = strongest(trace, position=position)
    assert sorted((each.layer, each.head) for each in found) == [(i, head) for i in range(3) for head in range(4)]
    weights = [each.weight for each in found]
    assert weights == sorted(weights, reverse=True)
    for each in found:
        row = trace[f"blocks.{each.layer}.attn.pattern"][each.head, position]
        assert each.key >= 1 and each.weight == pytest.approx(float(row[1:].max()), abs=1e-6)
        assert float(row[each.key]) == pytest.approx(each.weight, abs=1e-6)
        assert each.first == pytest.approx(float(row[0]), abs=1e-6)
    few = strongest(trace, position=position, k=3)
    assert [(each.layer, each.head, each.key) for each in few] == [
        (each.layer, each.head, each.key) for each in found[:3]
    ]


def test_the_first_token_is_set_aside_only_when_asked() -> None:
    pattern = np.zeros((4, 3, 3), dtype=np.float32)
    pattern[:, :, 0] = 0.9
    pattern[:, 2, 1] = 0.1
    trace = tiny_model("gpt2").intervene({"blocks.*.attn.pattern": set_to(pattern)}).trace([1, 2, 3])
    assert strongest(trace, k=1) == [HeadAttention(0, 0, 1, float(np.float32(0.1)), float(np.float32(0.9)))]
    with_first = strongest(trace, k=1, skip_first=False)
    assert with_first == [HeadAttention(0, 0, 0, float(np.float32(0.9)), float(np.float32(0.9)))]
    assert strongest(trace, position=0) == []
    assert len(strongest(trace, position=0, skip_first=False)) == 12
    with pytest.raises(BadSelection, match="pos=3"):
        strongest(trace, position=3)


def test_a_step_from_the_cache_reads_like_the_whole_text() -> None:
    model = tiny_model("llama-gqa")
    ids = [4, 9, 9, 2, 4, 9, 1]
    step = next(iter(model.generate(ids, max_new_tokens=1)))
    list_of_steps = list(model.generate(ids, max_new_tokens=2))
    later = list_of_steps[1].trace
    whole = model.trace(later.ids)
    assert later.start == len(later.ids) - 1 and len(step.trace.ids) == 7
    for a, b in zip(strongest(later), strongest(whole), strict=True):
        assert (a.layer, a.head, a.key) == (b.layer, b.head, b.key)
        assert a.weight == pytest.approx(b.weight, abs=1e-5)
    last = head_scores(later)
    assert last.n_previous == 1
    pattern = whole["blocks.2.attn.pattern"]
    np.testing.assert_allclose(last.previous_token[2], pattern[:, -1, -2], atol=1e-5)


def test_the_default_model_looks_back_at_the_peace_that_was(default_model: Model) -> None:
    """On a text said twice, head 23.0 finds what came next the first time, and carries the prediction."""
    trace = default_model.trace("The robots will bring peace. The robots will bring")
    peace = [each.text for each in trace.tokens].index(" peace")
    found = next(each for each in strongest(trace) if (each.layer, each.head) == (23, 0))
    assert found.key == peace and found.weight == pytest.approx(0.72, abs=0.01)
    assert strongest(trace, skip_first=False)[0].key == 0  # the sink
    scores = head_scores(trace)
    assert scores.n_induction == 3 and scores.induction[23, 0] > 0.2
