"""Direct logit attribution: the terms are what they say, and they add up."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cutaway.analysis.attribution import Attribution, attribute_logit, attribute_neurons
from cutaway.engine import Model
from cutaway.errors import BadInput, BadSelection
from cutaway.trace.interventions import add, scale, zero
from tests.support.tiny import SHAPES, some_ids, tiny_model


def closes(attribution: Attribution) -> None:
    """Within 1e-4 of the largest term, as documented, by blocks and by heads."""
    for split in (True, False):
        terms = attribution.terms(split_heads=split)
        largest = max(abs(each.value) for each in terms)
        assert math.fsum(each.value for each in terms) == pytest.approx(attribution.logit, abs=1e-9)
        assert abs(terms[-1].value) <= 1e-4 * largest
    assert abs(attribution.remainder) <= 1e-4 * largest


def by_hand(trace: Any, written: np.ndarray, token: int, row: int) -> float:
    """What the logit loses when `written` is taken out of the stream, the last norm's scale kept; in float64."""
    x = trace["blocks.2.resid_post"][row].astype(np.float64)

    def logit(stream: np.ndarray) -> float:
        centred = stream - stream.mean() if trace.config.traits.norm == "layer" else stream
        normed = centred / float(trace["ln_final.scale"][row, 0]) * trace.parameters["ln_final.w"]
        return float(normed @ trace.parameters["W_U"][:, token])

    return logit(x) - logit(x - written)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("position", [-1, 0, 5])
def test_terms_add_up_to_the_logit(kind: str, position: int) -> None:
    trace = tiny_model(kind).trace(some_ids(9))
    attribution = attribute_logit(trace, 11, position=position)
    assert attribution.logit == float(trace.logits(position)[11])
    assert attribution.position == position % 9
    closes(attribution)


@pytest.mark.parametrize("kind", SHAPES)
def test_each_term_is_what_leaving_it_out_costs(kind: str) -> None:
    trace = tiny_model(kind).trace(some_ids(9))
    found = attribute_logit(trace, 11, position=6)
    written = {
        "embed": trace["embed"][6],
        "blocks.1.attn.result 2": trace["blocks.1.attn.result"][6, 2],
        "blocks.1.attn_out": trace["blocks.1.attn_out"][6],
        "blocks.2.mlp_out": trace["blocks.2.mlp_out"][6],
    }
    got = {
        "embed": found.embed,
        "blocks.1.attn.result 2": found.heads[1, 2],
        "blocks.1.attn_out": found.attn[1],
        "blocks.2.mlp_out": found.mlp[2],
    }
    if found.pos_embed is not None:
        written["pos_embed"], got["pos_embed"] = trace["pos_embed"][6], found.pos_embed
    if found.attn_bias is not None:
        written["b_O"], got["b_O"] = trace.parameters["blocks.1.attn.b_O"], found.attn_bias[1]
    for name, vector in written.items():
        assert got[name] == pytest.approx(by_hand(trace, vector, 11, 6), abs=2e-5), name
    assert (found.pos_embed is None) == trace.config.traits.rotary
    assert (found.attn_bias is not None) == trace.config.has_out_bias
    has_offset = "ln_final.b" in trace.parameters
    assert (found.norm_bias is not None) == has_offset
    if has_offset:
        expected = trace.parameters["ln_final.b"] @ trace.parameters["W_U"][:, 11]
        assert found.norm_bias == pytest.approx(expected, abs=1e-6)


def test_heads_and_bias_are_the_attention() -> None:
    found = attribute_logit(tiny_model("gpt2").trace(some_ids(9)), 3)
    assert found.attn_bias is not None
    np.testing.assert_allclose(found.heads.sum(axis=1) + found.attn_bias, found.attn, atol=1e-5)
    assert np.abs(found.attn_bias).min() > 1e-4  # the biases are no zeros here


@pytest.mark.parametrize("kind", ["gpt2", "llama-gqa"])
def test_a_difference_is_the_difference_of_two(kind: str) -> None:
    trace = tiny_model(kind).trace(some_ids(6))
    one, other = attribute_logit(trace, 4), attribute_logit(trace, 30)
    both = attribute_logit(trace, 4, against=30)
    closes(both)
    assert both.logit == pytest.approx(one.logit - other.logit, abs=1e-6)
    np.testing.assert_allclose(both.heads, one.heads - other.heads, atol=1e-5)
    np.testing.assert_allclose(both.mlp, one.mlp - other.mlp, atol=1e-5)
    assert both.embed == pytest.approx(one.embed - other.embed, abs=1e-5)
    assert both.against == 30


def test_what_a_part_of_the_model_wrote_stays_closed_under_interventions_on_that_part() -> None:
    model = tiny_model("gpt2").intervene({"blocks.1.attn.z": zero(head=2), "blocks.0.mlp_out": scale(3.0)})
    found = attribute_logit(model.trace(some_ids(7)), 8)
    assert found.heads[1, 2] == 0.0
    closes(found)


def test_changed_heads_are_the_ones_that_count() -> None:
    model = tiny_model("llama-gqa").intervene({"blocks.1.attn.result": scale(-2.0, head=1)})
    found = attribute_logit(model.trace(some_ids(7)), 8)
    closes(found)
    plain = attribute_logit(tiny_model("llama-gqa").trace(some_ids(7)), 8)
    assert found.heads[1, 1] != pytest.approx(plain.heads[1, 1], abs=1e-3)


def test_what_is_written_into_the_stream_itself_is_the_remainder() -> None:
    model = tiny_model("llama-gqa")
    pushed = np.linspace(-1, 1, 32, dtype=np.float32)
    trace = model.intervene({"blocks.1.resid_mid": add(pushed)}).trace(some_ids(7))
    found = attribute_logit(trace, 8)
    assert found.remainder == pytest.approx(by_hand(trace, pushed, 8, -1), abs=1e-4)
    assert abs(found.remainder) > 0.01
    terms = found.terms()
    assert math.fsum(each.value for each in terms) == pytest.approx(found.logit, abs=1e-9)
    assert terms[-1].kind == "remainder"


def test_an_attention_that_was_changed_as_a_whole_differs_from_its_heads() -> None:
    trace = tiny_model("llama-gqa").intervene({"blocks.1.attn_out": zero()}).trace(some_ids(7))
    found = attribute_logit(trace, 8)
    assert found.attn[1] == 0.0 and abs(found.remainder) < 1e-4
    whole, split = found.terms(split_heads=False), found.terms()
    assert abs(whole[-1].value) < 1e-4
    assert split[-1].value == pytest.approx(-found.heads[1].sum(), abs=1e-4)
    assert math.fsum(each.value for each in split) == pytest.approx(found.logit, abs=1e-9)


def test_terms_name_their_places() -> None:
    terms = attribute_logit(tiny_model("gpt2").trace([1, 2, 3]), 8).terms()
    kinds = [each.kind for each in terms]
    per_block = ["head"] * 4 + ["attn_bias", "mlp"]
    assert kinds == ["embed", "pos_embed", *per_block * 3, "norm_bias", "remainder"]
    assert (terms[2].site, terms[2].layer, terms[2].head) == ("blocks.0.attn.result", 0, 0)
    assert (terms[7].site, terms[7].layer, terms[7].head) == ("blocks.0.mlp_out", 0, None)


@pytest.mark.parametrize("kind", SHAPES)
def test_neurons_add_up_to_their_mlp(kind: str) -> None:
    trace = tiny_model(kind).trace(some_ids(9))
    whole = attribute_logit(trace, 11, position=4)
    found = attribute_neurons(trace, 1, 11, position=4, k=48)
    assert found.total == pytest.approx(whole.mlp[1], abs=1e-5)
    assert abs(found.others) < 1e-5  # all 48 are named
    assert (found.bias is not None) == trace.config.has_out_bias
    strengths = [abs(each.value) for each in found.neurons]
    assert strengths == sorted(strengths, reverse=True)
    best = found.neurons[0]
    post, W_out = trace["blocks.1.mlp.post"][4], trace.parameters["blocks.1.mlp.W_out"]
    assert best.activation == post[best.neuron]
    assert best.value == pytest.approx(by_hand(trace, post[best.neuron] * W_out[best.neuron], 11, 4), abs=2e-5)
    assert best.value == pytest.approx(best.activation * best.per_activation, rel=1e-5)
    few = attribute_neurons(trace, -2, 11, position=4, k=3)
    assert few.layer == 1 and few.neurons == found.neurons[:3]
    parts = [each.value for each in few.neurons] + [few.others, few.bias or 0.0]
    assert math.fsum(parts) == pytest.approx(few.total, abs=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    trace = tiny_model("llama-gqa").trace([1, 2, 3])
    with pytest.raises(BadInput, match="token id 97"):
        attribute_logit(trace, 97)
    with pytest.raises(BadInput, match="token id -1"):
        attribute_logit(trace, 1, against=-1)
    with pytest.raises(BadSelection, match="pos=3"):
        attribute_logit(trace, 1, position=3)
    with pytest.raises(BadSelection, match="no block 3"):
        attribute_neurons(trace, 3, 1)


def test_json() -> None:
    out = json.loads(json.dumps(attribute_logit(tiny_model("gpt2").trace([1, 2]), 4, against=5).to_dict()))
    assert out["token"] == 4 and out["against"] == 5 and len(out["heads"]) == 3 and len(out["heads"][0]) == 4


def test_the_default_model_closes_too(default_model: Model) -> None:
    """One of its dimensions reaches 23,000, which is where rounding would show."""
    trace = default_model.trace("The robots will bring peace. The robots will bring")
    best = trace.next_tokens(1)[0]
    found = attribute_logit(trace, best.token.id)
    closes(found)
    assert found.logit == best.logit
    heads = found.heads.ravel().argsort()[::-1]
    assert (23, 0) in [divmod(int(each), 9) for each in heads[:3]]  # the head that copies the earlier " peace"
