"""A step that is left out: by the definition, in any order with other changes, and alike in traces, replays, files
and generation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.errors import BadSelection
from cutaway.trace.interventions import Interventions
from cutaway.trace.skipping import left_out
from tests.support.tiny import SHAPES, some_ids, tiny_model
from tests.unit.test_trace import close

ROTARY = [shape for shape in SHAPES if not shape.startswith("gpt2")]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def allowed(trace: cutaway.Trace) -> np.ndarray:
    """[q_pos, k_pos], where the mask lets a query look; read off the unchanged scores of block 0."""
    return np.asarray(trace["blocks.0.attn.attn_scores"][0] > -math.inf)


def test_no_division(any_shape: cutaway.Model) -> None:
    ids = some_ids(9)
    may = allowed(any_shape.trace(ids))
    with any_shape.intervene({"blocks.1.attn.qk_scaled": cutaway.skip()}) as edited:
        trace = edited.trace(ids)
    close(trace["blocks.1.attn.qk_scaled"], trace["blocks.1.attn.qk"])
    close(trace["blocks.1.attn.pattern"], softmax(np.where(may, trace["blocks.1.attn.qk"], -np.inf)))
    assert np.abs(trace["logits"] - any_shape.trace(ids)["logits"]).max() > 1e-3


def test_no_mask(any_shape: cutaway.Model) -> None:
    ids = some_ids(9)
    plain = any_shape.trace(ids)
    with any_shape.intervene({"blocks.1.attn.attn_scores": cutaway.skip()}) as edited:
        trace = edited.trace(ids)
    close(trace["blocks.1.attn.attn_scores"], plain["blocks.1.attn.qk_scaled"])
    pattern = trace["blocks.1.attn.pattern"]
    close(pattern, softmax(plain["blocks.1.attn.qk_scaled"]))
    assert pattern[:, 0, 1:].sum(axis=-1).min() > 0.1  # the first position looks ahead, too
    group = any_shape.config.group
    values = np.repeat(trace["blocks.1.attn.v"], group, axis=1)  # [k_pos, head, d_head]
    close(trace["blocks.1.attn.z"], np.einsum("hqk,khd->qhd", pattern, values))


@pytest.mark.parametrize("shape", ROTARY)
def test_no_positions(shape: str) -> None:
    model = tiny_model(shape)
    off = {"blocks.*.attn.rot_*": cutaway.skip()}
    with model.intervene(off) as edited:
        assert len(edited.interventions.bound) == 2 * model.config.n_layer
        trace = edited.trace([5, 5, 5, 5])
    normed = "_norm" if model.config.traits.qk_norm else ""
    for i in range(model.config.n_layer):
        close(trace[f"blocks.{i}.attn.rot_q"], trace[f"blocks.{i}.attn.q{normed}"])
        close(trace[f"blocks.{i}.attn.rot_k"], trace[f"blocks.{i}.attn.k{normed}"])
    # one token over and over, and no positions: nothing tells the rows apart
    logits = trace["logits"]
    close(logits, np.broadcast_to(logits[:1], logits.shape))


def test_no_positions_tell_an_order_apart_no_more() -> None:
    """The last row sees a set of tokens, not their order."""
    model = tiny_model("llama-gqa", n_layer=1)
    with model.intervene({"blocks.*.attn.rot_*": cutaway.skip()}) as edited:
        close(edited.trace([3, 8, 13, 2])["logits"][-1], edited.trace([13, 3, 8, 2])["logits"][-1])
    one, other = (model.trace(ids)["logits"][-1] for ids in ([3, 8, 13, 2], [13, 3, 8, 2]))
    assert np.abs(one - other).max() > 1e-2
    gpt2 = tiny_model("gpt2", n_layer=1)
    with gpt2.intervene({"pos_embed": cutaway.zero()}) as edited:
        close(edited.trace([3, 8, 13, 2])["logits"][-1], edited.trace([13, 3, 8, 2])["logits"][-1])


def test_only_what_is_selected() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(7)
    plain = model.trace(ids)
    with model.intervene({"blocks.0.attn.qk_scaled": cutaway.skip(head=2, q_pos=[3, 5])}) as edited:
        found = edited.trace(ids)["blocks.0.attn.qk_scaled"]
    expected = plain["blocks.0.attn.qk_scaled"].copy()
    expected[2, [3, 5]] = plain["blocks.0.attn.qk"][2, [3, 5]]
    close(found, expected)


def test_other_changes_keep_their_order() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(6)
    plain = model.trace(ids)["blocks.1.attn.qk"]
    before: dict[str, Any] = {"blocks.1.attn.qk_scaled": cutaway.skip(), "blocks.1.attn.qk": cutaway.scale(2.0)}
    close(model.intervene(before).trace(ids)["blocks.1.attn.qk_scaled"], 2 * plain)  # what goes in was changed
    undone = model.intervene({"blocks.1.attn.qk_scaled": [cutaway.add(1.0), cutaway.skip()]})
    close(undone.trace(ids)["blocks.1.attn.qk_scaled"], plain)
    after = model.intervene({"blocks.1.attn.qk_scaled": [cutaway.skip(), cutaway.add(1.0)]})
    close(after.trace(ids)["blocks.1.attn.qk_scaled"], plain + 1)
    both = model.intervene({"blocks.1.attn.qk_scaled": cutaway.skip(), "blocks.1.attn.attn_scores": cutaway.skip()})
    close(both.trace(ids)["blocks.1.attn.pattern"], softmax(plain))  # a step left out after a step left out


ALL = {
    "blocks.0.attn.qk_scaled": cutaway.skip(head=[0, 3]),
    "blocks.1.attn.attn_scores": cutaway.skip(q_pos=slice(0, 4)),
    "blocks.1.ln1.out": cutaway.skip(),
    "blocks.1.resid_mid": cutaway.skip(pos=[2, 4]),
    "blocks.2.mlp.post": cutaway.skip(feature=slice(0, 9)),
    "blocks.2.resid_post": cutaway.skip(pos=1),
    "ln_final.out": cutaway.skip(feature=3),
}


def test_lazy_is_recorded(any_shape: cutaway.Model) -> None:
    changes = {**ALL, **({"blocks.2.attn.rot_k": cutaway.skip()} if any_shape.config.traits.rotary else {})}
    edited, ids = any_shape.intervene(changes), some_ids(8)
    lazy, recorded = edited.trace(ids), edited.trace(ids, record="*")
    for name, site in edited.sites.items():
        close(lazy[name], recorded[name])
        where = {
            axis: slice(2, 7) if axis in ("pos", "q_pos", "k_pos") else -1 for axis in site.axes if axis != "one"
        }
        index = tuple(where.get(axis, slice(None)) for axis in site.axes)
        close(np.atleast_1d(edited.trace(ids).read(name, **where)), np.atleast_1d(recorded[name][index]))


@pytest.mark.parametrize("shape", ["gpt2", "llama-gqa", "mistral-window", "qwen3"])
@pytest.mark.parametrize(
    ("changes", "cached"),
    [
        ({"blocks.*.attn.qk_scaled": cutaway.skip()}, True),
        ({"blocks.1.attn.qk_scaled": cutaway.skip(head=1, q_pos=slice(5, None))}, True),
        ({"blocks.1.resid_mid": cutaway.skip(pos=slice(4, None)), "blocks.0.ln2.out": cutaway.skip()}, True),
        ({"blocks.*.attn.rot_*": cutaway.skip()}, True),
        ({"blocks.1.attn.attn_scores": cutaway.skip()}, False),
        ({"blocks.1.attn.attn_scores": cutaway.skip(head=1, q_pos=4, k_pos=6)}, False),
        ({"blocks.1.attn.attn_scores": cutaway.skip(q_pos=slice(9, None), k_pos=slice(0, 3))}, True),  # past a window
        ({"blocks.1.attn.qk_scaled": cutaway.skip(q_pos=-1)}, False),
    ],
)
def test_it_acts_alike_while_generating(shape: str, changes: dict[str, Any], cached: bool) -> None:
    if shape == "gpt2":  # its positions are added
        changes = {site: change for site, change in changes.items() if "rot_" not in site}
    model = tiny_model(shape).intervene(changes)
    assert model.interventions.needs_whole_run == (not cached)
    ids = some_ids(6)
    steps = list(model.generate(ids, max_new_tokens=7, temperature=0))
    assert any(step.trace.start > 0 for step in steps) == cached
    for step in steps:
        whole = model.trace(ids)
        close(step.trace["logits"][-1], whole["logits"][-1])
        close(step.trace["blocks.1.attn.pattern"][:, -1], whole["blocks.1.attn.pattern"][:, -1])
        ids = [*ids, step.token_id]


def test_it_is_data(tmp_path: Path) -> None:
    model, ids = tiny_model("qwen3"), some_ids(8)
    edited = model.intervene(ALL)
    text = json.dumps(edited.interventions.to_list(), allow_nan=False)
    again = model.with_interventions(Interventions.of(model.config, json.loads(text)))
    trace = edited.trace(ids)
    close(again.trace(ids)["logits"], trace["logits"])
    trace.save(tmp_path / "trace.safetensors")
    saved = cutaway.load_trace(tmp_path / "trace.safetensors", model)
    close(saved["blocks.1.attn.attn_scores"], trace["blocks.1.attn.attn_scores"])
    with pytest.raises(BadSelection, match="takes no value"):
        Interventions.of(model.config, [{"site": "blocks.0.attn.qk_scaled", "action": "skip", "value": 1}])


def test_a_number_says_what_would_have_been() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(6)
    found = model.intervene({"blocks.1.attn.qk_scaled": cutaway.skip()}).trace(ids)
    told = found.explain("blocks.1.attn.qk_scaled", (1, 4, 2))
    assert told.value == pytest.approx(told.result * math.sqrt(model.config.d_head), rel=1e-5)
    assert [each.action for each in told.changed_by] == ["skip"]


@pytest.mark.parametrize(
    ("site", "why"),
    [
        ("blocks.0.attn.pattern", "softmax"),
        ("blocks.0.attn.z", "none of what goes into it"),
        ("blocks.0.attn_out", "none of what goes into it"),
        ("blocks.0.ln1.scale", "none of what goes into it"),
        ("blocks.1.resid_pre", "none of what goes into it"),
        ("blocks.0.resid_pre", "none of what goes into it"),
        ("embed", "none of what goes into it"),
        ("logits", "none of what goes into it"),
        ("ln_final.normalized", "none of what goes into it"),
    ],
)
def test_what_has_nothing_to_take_is_refused(site: str, why: str) -> None:
    for shape in ("gpt2", "llama-gqa"):
        with pytest.raises(BadSelection, match=why):
            tiny_model(shape).intervene({site: cutaway.skip()})


def test_what_is_taken_is_a_declared_input_of_the_same_shape(any_shape: cutaway.Model) -> None:
    taken = {}
    for name, site in any_shape.sites.items():
        try:
            taken[name] = left_out(any_shape.config, site)
        except BadSelection:
            continue
        assert taken[name] in [each.name for each in site.inputs]
        assert any_shape.sites[taken[name]].axes == site.axes
    assert taken["blocks.1.attn.qk_scaled"] == "blocks.1.attn.qk"
    assert taken["blocks.1.attn.attn_scores"] == "blocks.1.attn.qk_scaled"
    assert taken["blocks.1.resid_mid"] == "blocks.1.resid_pre"
    assert taken["ln_final.out"] == "ln_final.normalized"
    assert ("blocks.1.attn.rot_q" in taken) == any_shape.config.traits.rotary
