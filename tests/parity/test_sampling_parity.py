"""The filters equal transformers' logits processors, in its order; greedy texts equal its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cutaway import framing
from cutaway.generation.sampling import Sampling
from tests.golden.make_sampling import CASES, inputs, reference
from tests.support.tiny import SHAPES, some_ids, tiny_model

GOLDEN = Path(__file__).parent.parent / "golden" / "sampling.safetensors"
NAMES = {
    "RepetitionPenaltyLogitsProcessor": "repetition_penalty",
    "TemperatureLogitsWarper": "temperature",
    "TopKLogitsWarper": "top_k",
    "TopPLogitsWarper": "top_p",
    "MinPLogitsWarper": "min_p",
}


def processed(settings: dict[str, Any], logits: np.ndarray, ids: list[int]) -> np.ndarray:
    """All stages but greedy decoding's last, which transformers does elsewhere."""
    sampling, seen, scores = Sampling(**settings), np.unique(ids), logits
    for name, setting in sampling.stages():
        scores = scores if name == "greedy" else sampling.apply(name, setting, scores, seen)
    return scores


def equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """The same tokens are left, with the same scores but for the last bit."""
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    np.testing.assert_array_max_ulp(ours, theirs, maxulp=1)


def test_the_filters_equal_their_golden_file() -> None:
    golden, notes = framing.unpack(GOLDEN.read_bytes(), "sampling")
    cases = json.loads(notes["cases"])
    assert len(cases) == len(golden) / 3 > 10
    removed = 0
    for case, settings in enumerate(cases):
        theirs = golden[f"{case}.scores"]
        equal(processed(settings, golden[f"{case}.logits"], golden[f"{case}.ids"].tolist()), theirs)
        removed += int(np.isinf(theirs).sum())
    assert removed > 200


@pytest.mark.yardstick
@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("n_vocab", [5, 64, 3000])
def test_the_filters_equal_transformers(settings: dict[str, Any], n_vocab: int) -> None:
    for case in range(100, 110):
        logits, ids = inputs(case, n_vocab)
        theirs, _ = reference(settings, logits, ids)
        equal(processed(settings, logits, ids), theirs)


@pytest.mark.yardstick
def test_the_order_is_that_of_transformers() -> None:
    every = {"temperature": 1.2, "top_k": 40, "top_p": 0.85, "min_p": 0.05, "repetition_penalty": 1.2}
    _, order = reference(every, *inputs(0, 64))
    assert [NAMES[name] for name in order] == [name for name, _ in Sampling(**every).stages()]


@pytest.mark.yardstick
@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("penalty", [1.0, 1.2])
def test_greedy_texts_equal_transformers(shape: str, penalty: float) -> None:
    import torch

    from tests.support.transformers_twin import twin

    model, ids = tiny_model(shape), some_ids(9)
    theirs = twin(model.config, model.parameters).generate(
        torch.tensor([ids]),
        do_sample=False,
        max_new_tokens=30,
        repetition_penalty=penalty,
        eos_token_id=None,
        pad_token_id=0,
    )
    ours = [
        step.token_id for step in model.generate(ids, max_new_tokens=30, temperature=0, repetition_penalty=penalty)
    ]
    assert ours == theirs[0, len(ids) :].tolist()
