"""Interventions act where they say, are data, nest, and act alike in traces, replays and generation."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cutaway
from cutaway.errors import BadSelection
from cutaway.trace.interventions import Interventions
from tests.support.tiny import some_ids, tiny_model
from tests.unit.test_trace import close

EVERY_KIND = {
    "blocks.0.attn.z": cutaway.zero(head=2),
    "blocks.1.mlp_out": [cutaway.scale(2.0, pos=[1, 3]), cutaway.add(np.ones(32), pos=2)],
    "blocks.1.attn.pattern": cutaway.set_to(0.25, head=1, q_pos=4, k_pos=slice(0, 4)),
    "blocks.2.resid_pre": cutaway.add(0.5 * np.ones(32), pos=slice(2, None)),
    "blocks.2.attn.result": cutaway.scale(0.0, head=[0, 3]),
    "ln_final.out": cutaway.scale(1.5, feature=slice(0, 8)),
    "logits": cutaway.add(1.0, feature=5),
}


def test_each_acts_on_its_selection_alone() -> None:
    model = tiny_model("llama-gqa")
    ids = some_ids(6)
    plain = model.trace(ids)
    z, pattern = plain["blocks.1.attn.z"], plain["blocks.1.attn.pattern"]
    with model.intervene({"blocks.1.attn.z": cutaway.zero(head=2, pos=[0, 4])}) as edited:
        expected = z.copy()
        expected[[0, 4], 2] = 0
        close(edited.trace(ids)["blocks.1.attn.z"], expected)
    with model.intervene({"blocks.1.attn.hook_z": cutaway.scale(3, feature=1)}) as edited:
        expected = z.copy()
        expected[..., 1] *= 3
        close(edited.trace(ids)["blocks.1.attn.z"], expected)
    with model.intervene({"blocks.1.attn.z": cutaway.mean(head=1)}) as edited:
        expected = z.copy()
        expected[:, 1] = z[:, 1].mean(axis=0)
        close(edited.trace(ids)["blocks.1.attn.z"], expected)
    with model.intervene({"blocks.1.attn.pattern": cutaway.set_to(np.eye(6), head=0)}) as edited:
        expected = pattern.copy()
        expected[0] = np.eye(6)
        close(edited.trace(ids)["blocks.1.attn.pattern"], expected)
    close(model.trace(ids)["blocks.1.attn.z"], z)  # the model itself is as it was


def test_a_change_carries_on_to_what_follows() -> None:
    model = tiny_model("gpt2")
    ids = some_ids(6)
    direction = np.random.default_rng(0).normal(size=32).astype(np.float32)
    steered = model.intervene({"blocks.1.resid_pre": cutaway.add(direction, pos=3)}).trace(ids)
    plain = model.trace(ids)
    close(steered["blocks.1.resid_pre"][3], plain["blocks.1.resid_pre"][3] + direction)
    close(steered["blocks.0.resid_post"], plain["blocks.0.resid_post"])
    assert np.abs(steered["logits"][3:] - plain["logits"][3:]).max() > 0.1
    close(steered["logits"][:3], plain["logits"][:3])  # causal: nothing before it moves


def test_the_lazy_trace_carries_them(any_shape: cutaway.Model) -> None:
    edited = any_shape.intervene(EVERY_KIND)
    ids = some_ids(8)
    lazy, recorded = edited.trace(ids), edited.trace(ids, record="*")
    for name, site in edited.sites.items():
        close(lazy[name], recorded[name])
        where = {
            axis: slice(2, 7) if axis in ("pos", "q_pos", "k_pos") else -1 for axis in site.axes if axis != "one"
        }
        index = tuple(where.get(axis, slice(None)) for axis in site.axes)
        close(np.atleast_1d(edited.trace(ids).read(name, **where)), np.atleast_1d(recorded[name][index]))


def test_an_edited_result_makes_attn_out_the_sum_of_its_heads() -> None:
    model = tiny_model("gpt2")
    ids = some_ids(5)
    edited = model.intervene({"blocks.1.attn.result": cutaway.zero(head=1)}).trace(ids)
    parts = model.trace(ids)["blocks.1.attn.result"].copy()
    parts[:, 1] = 0
    close(edited["blocks.1.attn_out"], parts.sum(axis=1) + model.parameters["blocks.1.attn.b_O"])


def test_they_nest_in_order() -> None:
    model = tiny_model("llama-gqa")
    ids = some_ids(4)
    with (
        model.intervene({"blocks.0.mlp_out": cutaway.add(1.0)}) as once,
        once.intervene({"blocks.0.mlp_out": cutaway.scale(2.0)}) as twice,
    ):
        close(twice.trace(ids)["blocks.0.mlp_out"], (model.trace(ids)["blocks.0.mlp_out"] + 1) * 2)
        assert [each.action for each in twice.interventions.bound] == ["add", "scale"]
    reversed_order = model.intervene({"blocks.0.mlp_out": [cutaway.scale(2.0), cutaway.add(1.0)]})
    close(reversed_order.trace(ids)["blocks.0.mlp_out"], model.trace(ids)["blocks.0.mlp_out"] * 2 + 1)


def test_a_function_is_called_again_at_every_replay() -> None:
    model = tiny_model("gpt2")
    calls = []

    def half(value: np.ndarray) -> np.ndarray:
        calls.append(value.shape)
        return value * np.float32(0.5)

    edited = model.intervene({"blocks.1.attn_out": half})
    trace = edited.trace(some_ids(4))
    close(trace["blocks.1.attn_out"], model.trace(some_ids(4))["blocks.1.attn_out"] / 2)
    assert len(calls) == 2  # the pass and one replay
    wrong = model.intervene({"blocks.1.attn_out": lambda value: value.astype(np.float64)})
    with pytest.raises(BadSelection, match="float64.*expected float32"):
        wrong.trace(some_ids(4))


def test_patching_from_another_trace() -> None:
    model = tiny_model("qwen2")
    clean, corrupt = model.trace(some_ids(6, seed=1)), some_ids(6, seed=2)
    every = {"blocks.2.resid_post": cutaway.patch(clean)}
    close(model.intervene(every).trace(corrupt)["logits"], clean["logits"])
    one = {"blocks.1.attn.z": cutaway.patch(clean, head=3, pos=[2], from_pos=[5])}
    patched = model.intervene(one).trace(corrupt)["blocks.1.attn.z"]
    close(patched[2, 3], clean["blocks.1.attn.z"][5, 3])


def test_they_are_data() -> None:
    model = tiny_model("gpt2")
    trace = model.trace(some_ids(7, seed=4))
    changes = {**EVERY_KIND, "blocks.0.attn.k": cutaway.zero(kv_head=1)}
    changes["blocks.1.attn.q"] = cutaway.patch(trace, head=1, pos=[0, 2])
    changes["blocks.0.attn.v"] = cutaway.mean(trace["blocks.0.attn.v"], kv_head=0)
    edited = model.intervene(changes)
    text = json.dumps(edited.interventions.to_list(), allow_nan=False)
    again = model.with_interventions(Interventions.of(model.config, json.loads(text)))
    close(again.trace(some_ids(7))["logits"], edited.trace(some_ids(7))["logits"])
    with pytest.raises(BadSelection, match="Python function"):
        model.intervene({"logits": lambda value: value}).interventions.to_list()


@pytest.mark.parametrize("shape", ["gpt2", "llama-gqa", "mistral-window"])
@pytest.mark.parametrize(
    "changes",
    [
        EVERY_KIND,
        {"blocks.1.attn.z": cutaway.mean(head=1)},
        {"blocks.0.resid_mid": cutaway.zero(pos=-1)},
        {"blocks.1.mlp.post": lambda value: value - value.mean(axis=0, keepdims=True)},
        {"blocks.1.mlp.post": cutaway.function(lambda value: value * np.float32(0.9), positionwise=True)},
        {"ln_final.out": cutaway.mean(feature=3)},
        {"logits": cutaway.zero(pos=-1, feature=slice(0, 50))},
    ],
)
def test_they_act_alike_while_generating(shape: str, changes: dict[str, object]) -> None:
    edited = tiny_model(shape).intervene(changes)
    ids = some_ids(5)
    for step in edited.generate(ids, max_new_tokens=6, temperature=0):
        whole = edited.trace(ids)
        assert step.token_id == int(np.argmax(whole.logits()))
        for name in ("logits", "blocks.2.resid_post", "blocks.1.attn.z", "blocks.1.attn.pattern", "blocks.0.attn.q"):
            axis = 1 if name.endswith("pattern") else 0
            close(np.take(step.trace[name], -1, axis=axis), np.take(whole[name], -1, axis=axis))
        ids.append(step.token_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks.1.attn.qk_scaled": cutaway.add(30.0, k_pos=-1)},
        {"blocks.0.attn.pattern": cutaway.set_to(0.25, head=1, k_pos=slice(0, 4))},
        {"blocks.1.attn.pattern": cutaway.add(0.1)},
        {"blocks.1.attn.pattern": cutaway.set_to(0.5, q_pos=[1, 2], k_pos=[4])},
        {"blocks.0.attn.pattern": cutaway.set_to(np.full((4, 6, 6), 0.1))},
        {"blocks.0.attn.pattern": cutaway.mean(np.full((4, 6), 0.2))},
        {"blocks.0.attn.attn_scores": cutaway.zero(head=0)},
        {"blocks.0.attn.attn_scores": cutaway.set_to(1.0, q_pos=slice(2, 4), k_pos=slice(0, 4))},
    ],
)
def test_a_change_that_lets_a_query_see_later_keys_keeps_no_cache(changes: dict[str, object]) -> None:
    edited = tiny_model("llama-gqa").intervene(changes)
    ids = some_ids(3)
    for step in edited.generate(ids, max_new_tokens=6, temperature=0, lookup=4):
        close(step.choice.logits, edited.trace(ids).logits())
        ids.append(step.token_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks.0.attn.pattern": cutaway.zero(head=1)},
        {"blocks.0.attn.pattern": cutaway.set_to(0.5, q_pos=slice(3, None), k_pos=[0, 3])},
        {"blocks.0.attn.pattern": cutaway.patch(tiny_model("llama-gqa").trace(some_ids(5, seed=3)))},
        {"blocks.0.attn.attn_scores": cutaway.patch(tiny_model("llama-gqa").trace(some_ids(5, seed=3)))},
        {"blocks.0.attn.attn_scores": cutaway.add(-3.0, k_pos=0)},
        {"blocks.0.attn.qk": cutaway.set_to(2.0, k_pos=slice(0, 4))},
    ],
)
@pytest.mark.parametrize("n", [3, 5, 7])
def test_a_change_that_looks_back_alone_keeps_the_cache(changes: dict[str, object], n: int) -> None:
    edited = tiny_model("llama-gqa").intervene(changes)
    assert not edited.interventions.needs_whole_run
    ids = some_ids(n)
    for step in edited.generate(ids, max_new_tokens=5, temperature=0, lookup=4):
        close(step.choice.logits, edited.trace(ids).logits())
        ids.append(step.token_id)


def test_a_given_mean_acts_at_every_position() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(7)
    other = model.trace(some_ids(5, seed=1))
    for given in (other["blocks.1.attn.z"], other["blocks.1.attn.z"].mean(axis=0)):
        expected = model.trace(ids)["blocks.1.attn.z"].copy()
        expected[:, 1] = other["blocks.1.attn.z"][:, 1].mean(axis=0)
        close(
            model.intervene({"blocks.1.attn.z": cutaway.mean(given, head=1)}).trace(ids)["blocks.1.attn.z"], expected
        )
    by_head = np.arange(28, dtype=np.float32).reshape(4, 7) / 28  # [head, k_pos]: heads stand before positions
    pattern = model.intervene({"blocks.1.attn.pattern": cutaway.mean(by_head)}).trace(ids)["blocks.1.attn.pattern"]
    close(pattern, np.broadcast_to(by_head[:, None], (4, 7, 7)))


def test_a_function_may_change_what_it_is_given() -> None:
    model, ids = tiny_model("gpt2"), some_ids(5)

    def without_head_1(value: np.ndarray) -> np.ndarray:
        value[:, 1] = 0
        return value

    for site in ("blocks.1.attn.result", "blocks.1.resid_pre"):
        edited = model.intervene({site: without_head_1})
        lazy, recorded = edited.trace(ids), edited.trace(ids, record="*")
        for name in edited.sites:
            close(lazy[name], recorded[name])
    zeroed = model.intervene({"blocks.1.attn.result": cutaway.zero(head=1)}).trace(ids)
    close(model.intervene({"blocks.1.attn.result": without_head_1}).trace(ids)["logits"], zeroed["logits"])


def test_a_patch_from_a_shorter_text_leaves_later_positions_alone() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(8)
    plain, short = model.trace(ids), model.trace(some_ids(5, seed=1))
    q = model.intervene({"blocks.1.attn.q": cutaway.patch(short, pos=slice(2, None))}).trace(ids)["blocks.1.attn.q"]
    close(q[2:5], short["blocks.1.attn.q"][2:])
    close(q[[0, 1, 5, 6, 7]], plain["blocks.1.attn.q"][[0, 1, 5, 6, 7]])
    patched = model.intervene({"blocks.1.attn.pattern": cutaway.patch(short)}).trace(ids)["blocks.1.attn.pattern"]
    expected = plain["blocks.1.attn.pattern"].copy()
    expected[:, :5, :5] = short["blocks.1.attn.pattern"]
    close(patched, expected)


def test_a_patch_of_positions_that_the_other_text_lacks_changes_nothing() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(8)
    short = model.trace(some_ids(2, seed=1))
    patched = model.intervene({"blocks.1.attn.q": cutaway.patch(short, pos=slice(5, None))}).trace(ids)
    close(patched["logits"], model.trace(ids)["logits"])


def test_a_row_that_is_read_twice_is_changed_twice() -> None:
    edited = tiny_model("gpt2").intervene({"logits": cutaway.zero(pos=3)})
    assert not edited.trace(some_ids(5)).read("logits", pos=[3, 1, 3])[[0, 2]].any()


def test_what_does_not_fit_is_refused() -> None:
    model = tiny_model("llama-gqa")
    for changes, match in (
        ({"blocks.0.attn.k": cutaway.zero(head=0)}, 'no axis "head".*"kv_head"'),
        ({"blocks.0.attn.k": cutaway.zero(kv_head=2)}, "kv_head=2 is outside"),
        ({"blocks.0.attn.zz": cutaway.zero()}, "no site"),
        ({"blocks.0.attn.z": 3}, "a int; expected cutaway.zero"),
        ({"blocks.0.attn.z": cutaway.add(np.zeros((2, 2, 2, 2)))}, "4 axes; the site has 3"),
        ({"blocks.0.attn.z": cutaway.set_to(np.zeros((3, 4, 8)), pos=[0, 1])}, "3 positions; 2 are selected"),
        ({"blocks.0.attn.z": cutaway.zero(pos=1.5)}, r"pos=1\.5.*whole number"),
        ({"blocks.0.attn.z": cutaway.zero(pos=np.array([True, False]))}, "whole number"),
        ({"blocks.0.attn.z": cutaway.zero(pos=slice("a", None))}, "whole number"),
        ({"blocks.0.attn.pattern": cutaway.zero(pos=1, q_pos=2)}, "q_pos .* is selected twice"),
        ({"blocks.0.attn.attn_scores": cutaway.scale(0)}, "attn.qk_scaled"),
        ([cutaway.zero()], "a list; expected a dictionary"),
    ):
        with pytest.raises(cutaway.CutawayError, match=match):
            model.intervene(changes)
    with pytest.raises(BadSelection, match="shape"):
        model.intervene({"blocks.0.attn.z": cutaway.add(np.zeros(5))}).trace(some_ids(4))
    with pytest.raises(BadSelection, match="not an array of numbers"):
        cutaway.add("five")
    for value in (float("nan"), 1e300):
        with pytest.raises(BadSelection, match="not-a-number, or a number too large"):
            cutaway.add(value)
    with pytest.raises(BadSelection, match="takes a trace"):
        cutaway.patch(5)  # type: ignore[arg-type]
    for broken in (
        {"site": "logits", "action": "explode"},
        {"site": "logits", "action": "add"},
        {"action": "zero"},
        {"site": "logits", "action": ["zero"]},
        {"site": "logits", "action": "zero", "selection": [1]},
        {"site": "logits", "action": "zero", "selection": {"pos": {"start": "a"}}},
        {"site": "logits", "action": "zero", "selection": {"pos": {"from": 1}}},
        5,
    ):
        with pytest.raises(BadSelection):
            Interventions.of(model.config, [broken])  # type: ignore[list-item]
