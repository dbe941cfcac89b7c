"""The logit lens: against a lens written out by hand, on tiny models of every kind."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cutaway.analysis import logit_lens as lens_module
from cutaway.analysis.logit_lens import lens_table, logit_lens, stages
from cutaway.errors import BadInput, BadSelection
from cutaway.trace.interventions import add
from tests.support.tiny import SHAPES, some_ids, tiny_model


def logits_by_hand(trace: Any, site: str, row: int) -> np.ndarray:
    """The last norm and the unembedding, in float64, written out."""
    x = trace[site][row].astype(np.float64)
    if trace.config.traits.norm == "layer":
        x = x - x.mean()
    x = x / np.sqrt((x * x).mean() + trace.config.norm_eps) * trace.parameters["ln_final.w"]
    if "ln_final.b" in trace.parameters:
        x = x + trace.parameters["ln_final.b"]
    return np.asarray(x @ trace.parameters["W_U"].astype(np.float64))


@pytest.mark.parametrize("kind", SHAPES)
def test_every_stage_is_the_last_norm_and_unembedding_of_the_stream(kind: str) -> None:
    trace = tiny_model(kind).trace(some_ids(9))
    lens = logit_lens(trace, position=4, tokens=[7, 0, 96], k=6)
    assert lens.position == 4 and lens.tokens == (7, 0, 96)
    assert lens.sites == ("blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post", "blocks.2.resid_post")
    for i, site in enumerate(lens.sites):
        logits = logits_by_hand(trace, site, 4)
        shares = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-logits)
        np.testing.assert_allclose(lens.logit[i], logits[[7, 0, 96]], atol=1e-5)
        np.testing.assert_allclose(lens.probability[i], shares[[7, 0, 96]], atol=1e-6)
        assert lens.rank[i].tolist() == [int(np.nonzero(order == token)[0][0]) + 1 for token in (7, 0, 96)]
        assert lens.top_ids[i].tolist() == order[:6].tolist()
        np.testing.assert_allclose(lens.top_logit[i], logits[order[:6]], atol=1e-5)
        np.testing.assert_allclose(lens.top_probability[i], shares[order[:6]], atol=1e-6)
    assert lens.logit.dtype == lens.probability.dtype == lens.top_probability.dtype == np.float32


@pytest.mark.parametrize("kind", SHAPES)
def test_the_last_stage_is_what_the_model_says(kind: str) -> None:
    trace = tiny_model(kind).trace(some_ids(9))
    lens = logit_lens(trace)
    said = trace.next_tokens(5)
    assert lens.position == 8
    assert lens.top_ids[-1].tolist() == [each.token.id for each in said] == list(lens.tokens)
    np.testing.assert_allclose(lens.top_logit[-1], [each.logit for each in said], atol=1e-5)
    np.testing.assert_allclose(lens.top_probability[-1], [each.probability for each in said], atol=1e-6)
    assert lens.rank[-1].tolist() == [1, 2, 3, 4, 5]


def test_stages_between_attention_and_mlp() -> None:
    trace = tiny_model("llama-gqa").trace(some_ids(5))
    lens = logit_lens(trace, include_mid=True, tokens=[3])
    assert lens.sites == stages(trace, include_mid=True)
    assert lens.sites[:3] == ("blocks.0.resid_pre", "blocks.0.resid_mid", "blocks.0.resid_post")
    np.testing.assert_allclose(lens.logit[3, 0], logits_by_hand(trace, "blocks.1.resid_mid", -1)[3], atol=1e-5)


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_the_table_is_the_lens_at_every_position_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(lens_module, "LOGITS_AT_ONCE", rows_at_once * 97)
    trace = tiny_model("gpt2").trace(some_ids(7))
    table = lens_table(trace)
    assert table.positions == tuple(range(7)) and table.best_id.shape == (4, 7)
    for position in range(7):
        lens = logit_lens(trace, position=position, k=1)
        assert table.best_id[:, position].tolist() == lens.top_ids[:, 0].tolist()
        np.testing.assert_allclose(table.probability[:, position], lens.top_probability[:, 0], atol=1e-6)
        np.testing.assert_allclose(table.logit[:, position], lens.top_logit[:, 0], atol=1e-5)
    some = lens_table(trace, positions=[-1, 2])
    assert some.positions == (6, 2)
    assert some.best_id.tolist() == table.best_id[:, [6, 2]].tolist()


def test_equal_logits_share_the_better_rank_and_the_lower_id_comes_first() -> None:
    model = tiny_model("gpt2-untied")
    model.parameters.array("W_U")[:, [5, 20, 30]] = model.parameters.array("W_U")[:, [11]]
    lens = logit_lens(model.trace([1, 2, 3]), tokens=[5, 11, 20, 30], k=97)
    assert (lens.rank == lens.rank[:, :1]).all()
    for i in range(len(lens.sites)):
        place = lens.top_ids[i].tolist()
        assert place.index(5) + 1 == place.index(11) == place.index(20) - 1 == place.index(30) - 2
        assert lens.rank[i, 0] == place.index(5) + 1
        boundary = logit_lens(model.trace([1, 2, 3]), tokens=[], k=place.index(11) + 1)
        assert boundary.top_ids[i].tolist() == place[: place.index(11) + 1]


def test_interventions_on_the_stream_are_seen() -> None:
    model = tiny_model("llama-gqa")
    direction = 50 * model.parameters["W_U"][:, 9]
    with model.intervene({"blocks.1.resid_post": add(direction, pos=3)}) as changed:
        lens = logit_lens(changed.trace(some_ids(4)), tokens=[9])
    plain = logit_lens(model.trace(some_ids(4)), tokens=[9])
    np.testing.assert_array_equal(lens.logit[:2], plain.logit[:2])
    assert lens.rank[2, 0] == 1 and lens.probability[2, 0] > plain.probability[2, 0]


def test_what_does_not_fit_is_refused() -> None:
    trace = tiny_model("llama-gqa").trace([1, 2, 3])
    with pytest.raises(BadInput, match="token id 97 is outside this model's vocabulary, 0 to 96"):
        logit_lens(trace, tokens=[97])
    with pytest.raises(BadInput, match="token id -1"):
        logit_lens(trace, tokens=[-1])
    with pytest.raises(BadSelection, match="pos=3"):
        logit_lens(trace, position=3)
    with pytest.raises(BadSelection, match="pos=-4"):
        lens_table(trace, positions=[-4])
    assert logit_lens(trace, k=0).top_ids.shape == (4, 0)
    assert logit_lens(trace, k=999).top_ids.shape == (4, 97)
    assert lens_table(trace, positions=[]).best_id.shape == (4, 0)


def test_json() -> None:
    out = json.loads(json.dumps(logit_lens(tiny_model("gpt2").trace([1, 2]), tokens=[4], k=2).to_dict()))
    assert out["stages"][0]["site"] == "blocks.0.resid_pre"
    assert out["stages"][3]["tokens"][0]["id"] == 4 and len(out["stages"][3]["top"]) == 2
