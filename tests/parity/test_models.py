"""The equations equal `transformers`', site by site: on golden files in every run, live with `make parity`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cutaway
from cutaway import framing
from tests.support.tiny import SHAPES, some_ids, tiny_model

GOLDEN = Path(__file__).parent.parent / "golden" / "models"

# FACTS: the best next ids of the default model after "Data visualization empowers users to", and their logits.
BEST = {919: 26.9302, 1464: 26.5187, 14556: 26.3522, 3112: 25.9957, 2217: 25.9575}


def equal(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """max|a - b| <= 1e-4 max|b|"""
    assert ours.shape == theirs.shape, name
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), name


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_shape_equals_its_golden_file(shape: str) -> None:
    golden, _ = framing.unpack((GOLDEN / f"{shape}.safetensors").read_bytes(), shape)
    model = tiny_model(shape)
    trace = model.trace([int(i) for i in golden.pop("ids")])
    assert len(golden) == 2 * model.config.n_layer + 2
    for name, theirs in golden.items():
        equal(trace[name], theirs, name)


def test_a_wrong_equation_would_be_seen() -> None:
    """The tolerance is sharp enough to tell rotary layouts, epsilons and activations apart."""
    golden, _ = framing.unpack((GOLDEN / "llama-gqa.safetensors").read_bytes(), "golden")
    ids = [int(i) for i in golden["ids"]]
    for change in ({"rope_base": 9000.0}, {"norm_eps": 1e-3}, {"activation": "gelu"}):
        with pytest.raises(AssertionError):
            equal(tiny_model("llama-gqa", **change).trace(ids)["logits"], golden["logits"], "logits")


def test_the_default_model_gives_the_known_logits(default_model: cutaway.Model) -> None:
    trace = default_model.trace("Data visualization empowers users to")
    assert trace.ids == (5127, 15171, 18766, 3629, 288)
    best = trace.next_tokens(5)
    assert [each.token.id for each in best] == list(BEST)
    for each in best:
        assert each.logit == pytest.approx(BEST[each.token.id], abs=0.002)


@pytest.mark.yardstick
@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("length", [1, 12, 60])
def test_every_shape_equals_transformers(shape: str, length: int) -> None:
    from tests.support.transformers_twin import reference_sites, twin

    model = tiny_model(shape, seed=length)
    ids = some_ids(length, seed=length)
    trace = model.trace(ids)
    for name, theirs in reference_sites(model.config, twin(model.config, model.parameters), ids).items():
        equal(trace[name], theirs, name)


@pytest.mark.yardstick
def test_the_default_model_equals_transformers(default_model: cutaway.Model) -> None:
    from tests.support.transformers_twin import reference_sites, twin

    text = "The robots will bring peace. The robots will bring"
    trace = default_model.trace(text)
    reference = twin(default_model.config, default_model.parameters)
    for name, theirs in reference_sites(default_model.config, reference, list(trace.ids)).items():
        equal(trace[name], theirs, name)
