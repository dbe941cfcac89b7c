"""Head detectors: on patterns made by hand each fires where it must and nowhere else; on a model they are means of
diagonals."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

import cutaway
from cutaway.analysis import detect_heads
from cutaway.analysis.detectors import NAMES, diagonals, random_texts
from cutaway.errors import BadInput
from tests.support.tiny import SHAPES, tiny_model

LENGTH = 8


def habit(key: Callable[[int], int]) -> np.ndarray:
    """[q_pos, k_pos]: all of the attention on one key, for each query."""
    pattern = np.zeros((2 * LENGTH, 2 * LENGTH), dtype=np.float32)
    for q in range(2 * LENGTH):
        pattern[q, max(0, key(q))] = 1
    return pattern


def again(q: int) -> int:
    return q - LENGTH if q >= LENGTH else q  # in the first half nothing came before: itself


def after(q: int) -> int:
    return q - LENGTH + 1 if q >= LENGTH else q


HABITS = {
    "previous_token": habit(lambda q: q - 1),
    "duplicate_token": habit(again),
    "induction": habit(after),
    "first_token": habit(lambda q: 0),
    "itself": habit(lambda q: q),
    "two before": habit(lambda q: q - 2),
    "after, too far": habit(lambda q: q - LENGTH + 2 if q >= LENGTH else q),
}


@pytest.mark.parametrize("name", HABITS)
def test_each_fires_on_its_own_habit_alone(name: str) -> None:
    scores = dict(zip(NAMES, diagonals(HABITS[name][None], LENGTH)[:, 0], strict=True))
    for other, score in scores.items():
        if other == name:
            assert score == pytest.approx(1), scores
        else:
            # the habit "two before" rests on position 0 once, at the query 2
            assert score <= 1 / 14 + 1e-6, scores


def test_a_share_is_a_share() -> None:
    mixed = 0.5 * HABITS["induction"] + 0.25 * HABITS["first_token"] + 0.25 * HABITS["itself"]
    previous, duplicate, induction, first = diagonals(mixed[None], LENGTH)[:, 0]
    assert (previous, duplicate) == (0, 0)
    assert induction == pytest.approx(0.5) and first == pytest.approx(0.25)


def test_a_sink_is_a_sink_alone() -> None:
    """All of a sink's weight lies on position 0, which is also the position before 1 and the first token's repeat."""
    assert diagonals(HABITS["first_token"][None], LENGTH)[:3, 0].tolist() == [0, 0, 0]


def test_they_are_found_in_a_model() -> None:
    """Heads whose patterns are set by hand, in a model that runs."""
    model = tiny_model("gpt2")
    made = {
        "blocks.0.attn.pattern": [cutaway.set_to(HABITS["previous_token"], head=2)],
        "blocks.1.attn.pattern": [
            cutaway.set_to(HABITS["induction"], head=0),
            cutaway.set_to(HABITS["duplicate_token"], head=3),
        ],
        "blocks.2.attn.pattern": [cutaway.set_to(HABITS["first_token"], head=1)],
    }
    found = detect_heads(model.intervene(made), n_sequences=2, length=LENGTH)
    expected = {"previous_token": (0, 2), "induction": (1, 0), "duplicate_token": (1, 3), "first_token": (2, 1)}
    for name, where in expected.items():
        (layer, head, score), second = found.strongest(name, 2)
        assert (layer, head) == where and score == pytest.approx(1), name
        assert second[2] < 0.7
    assert found.strongest("induction", 0) == [] and len(found.strongest("induction", 99)) == 12


@pytest.mark.parametrize("kind", SHAPES)
def test_they_are_the_means_of_what_the_patterns_say(kind: str) -> None:
    model = tiny_model(kind)
    found = detect_heads(model, seed=3, n_sequences=2, length=6)
    texts = random_texts(model, seed=3, n_sequences=2, length=6)
    sums = {name: np.zeros((3, 4)) for name in NAMES}
    for ids in texts:
        trace = model.trace(ids)
        for layer in range(3):
            for head in range(4):
                pattern = trace[f"blocks.{layer}.attn.pattern"][head]
                rows: dict[str, list[float]] = {name: [] for name in NAMES}
                for q in range(2, 12):
                    rows["first_token"].append(float(pattern[q, 0]))
                    rows["previous_token"].append(float(pattern[q, q - 1]))
                    earlier = [k for k in range(q) if ids[k] == ids[q]]
                    for k in earlier:
                        rows["induction"].append(float(pattern[q, k + 1]))
                        if k > 0:
                            rows["duplicate_token"].append(float(pattern[q, k]))
                for name in NAMES:
                    sums[name][layer, head] += np.mean(rows[name]) / 2
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), sums[name], atol=1e-5)
    assert (found.seed, found.n_sequences, found.length) == (3, 2, 6)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["length"] == 6


def test_the_texts_are_different_plain_tokens_said_twice() -> None:
    model = tiny_model("llama-gqa")
    texts = random_texts(model, seed=0, n_sequences=3, length=20)
    for ids in texts:
        assert ids[:20] == ids[20:] and len(set(ids)) == 20
    assert len({tuple(ids) for ids in texts}) == 3
    assert texts == random_texts(model, seed=0, n_sequences=3, length=20)
    assert texts != random_texts(model, seed=1, n_sequences=3, length=20)
    assert len(random_texts(model, seed=0, n_sequences=1, length=500)[0]) == model.config.n_ctx


def test_no_special_token_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama-gqa")

    class Piece:
        def __init__(self, id: int) -> None:
            self.special = id % 2 == 0

    monkeypatch.setattr(type(model), "token", lambda self, id: Piece(id))
    for ids in random_texts(model, seed=0, n_sequences=4, length=30):
        assert all(id % 2 for id in ids)


def test_progress_is_told_and_may_stop() -> None:
    told: list[tuple[int, int]] = []
    detect_heads(tiny_model("gpt2"), n_sequences=3, length=5, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]

    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == 1:
            raise Stop

    with pytest.raises(Stop):
        detect_heads(tiny_model("gpt2"), n_sequences=3, length=5, progress=stop)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(BadInput, match="1 or more"):
        detect_heads(tiny_model("gpt2"), n_sequences=0)
    with pytest.raises(BadInput, match="3 or more"):
        detect_heads(tiny_model("gpt2"), length=2)
    with pytest.raises(BadInput, match="takes 5 tokens"):
        detect_heads(tiny_model("gpt2", n_ctx=5))
    with pytest.raises(BadInput, match="no detector"):
        detect_heads(tiny_model("gpt2"), n_sequences=1, length=3).strongest("attention")
