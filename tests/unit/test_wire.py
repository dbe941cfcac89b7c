"""What travels says what the trace holds: frames, reductions, ranges, answers; and the page's types are Python's."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cutaway
from cutaway.analysis.attribution import attribute_logit
from cutaway.analysis.logit_lens import logit_lens
from cutaway.errors import BadSelection, UnknownSite
from cutaway.generation.sampling import Sampling
from cutaway.sites import declared
from cutaway.trace.trace import Trace
from cutaway.wire import frames
from cutaway.wire import structures as s
from cutaway.wire.answers import (
    attribution_answer,
    explain_answer,
    lens_answer,
    likeliest,
    manifest,
    next_answer,
    surprise_answer,
)
from cutaway.wire.frames import View, read_frame, sites_frame
from cutaway.wire.json_text import dumps, numbers
from cutaway.wire.models import model_answer
from cutaway.wire.overview import overview_frame
from cutaway.wire.parameters import parameter_frame
from cutaway.wire.query import parse_bins, parse_index
from cutaway.wire.reduction import absmax, ranges_of
from tests.support.tiny import some_ids, tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> cutaway.Model:
    return tiny_model("llama-gqa")


@pytest.fixture(scope="module")
def trace(model: cutaway.Model) -> Trace:
    return model.trace(some_ids(11))


# -- JSON --------------------------------------------------------------------------------------------------------


def test_what_json_cannot_say_is_null() -> None:
    said = json.loads(
        dumps({"a": math.inf, "b": np.float32("nan"), "c": np.array([1.5, -np.inf]), "d": [np.int32(3)]})
    )
    assert said == {"a": None, "b": None, "c": [1.5, None], "d": [3]}
    assert numbers(np.array([[1, 2]], dtype=np.int32)) == [[1, 2]]


def test_a_lone_surrogate_is_still_json() -> None:
    assert json.loads(dumps({"quoted": "\ud800"})) == {"quoted": "\ud800"}


# -- reduction ---------------------------------------------------------------------------------------------------

ARRAYS = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 4), st.integers(1, 23), st.integers(1, 37))
)


@given(ARRAYS, st.integers(1, 40), st.booleans())
def test_a_bin_is_its_largest_element(shape: tuple[int, int, int, int], bins: int, masked: bool) -> None:
    seed, *sizes = shape
    array = np.random.default_rng(seed).normal(size=sizes).astype(np.float32)
    if masked:
        array[np.random.default_rng(seed + 1).random(sizes) < 0.4] = -np.inf
    reduced = absmax(array, (bins,))
    n = min(bins, sizes[-1])
    assert reduced.values.shape == reduced.index.shape == (*sizes[:-1], n)
    np.testing.assert_array_equal(np.take_along_axis(array, reduced.index.astype(int), axis=-1), reduced.values)
    for i in range(n):
        inside = array[..., i * sizes[-1] // n : (i + 1) * sizes[-1] // n]
        finite = np.where(np.isfinite(inside), np.abs(inside), -1).max(axis=-1)
        got = np.where(np.isfinite(reduced.values[..., i]), np.abs(reduced.values[..., i]), -1)
        np.testing.assert_array_equal(got, finite)


@given(ARRAYS, st.integers(1, 9), st.integers(1, 9))
def test_a_cell_is_the_largest_of_its_rectangle(shape: tuple[int, int, int, int], n_row: int, n_col: int) -> None:
    seed, *sizes = shape
    array = np.random.default_rng(seed).normal(size=sizes).astype(np.float32)
    reduced = absmax(array, (n_row, n_col))
    rows, cols = min(n_row, sizes[1]), min(n_col, sizes[2])
    assert reduced.values.shape == (sizes[0], rows, cols) and reduced.index.shape == (sizes[0], rows, cols, 2)
    for h in range(sizes[0]):
        for r in range(rows):
            for c in range(cols):
                top, bottom = r * sizes[1] // rows, (r + 1) * sizes[1] // rows
                left, right = c * sizes[2] // cols, (c + 1) * sizes[2] // cols
                q, k = reduced.index[h, r, c]
                assert top <= q < bottom and left <= k < right
                assert array[h, q, k] == reduced.values[h, r, c]
                assert abs(reduced.values[h, r, c]) == np.abs(array[h, top:bottom, left:right]).max()


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(5).normal(size=(7, 6, 50)).astype(np.float32)
    whole = absmax(array, (8,))
    monkeypatch.setattr("cutaway.wire.reduction.ELEMENTS_AT_ONCE", 60)
    parts = absmax(array, (8,))
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.index, parts.index)


def test_the_colour_bound_is_the_median_of_the_rows_99th_percentiles() -> None:
    array = np.random.default_rng(3).normal(size=(9, 4, 25)).astype(np.float32)
    array[2] *= 1000  # one wild position does not set the scale
    found = ranges_of(array, 0)
    rows = [np.percentile(np.abs(row).ravel(), 99) for row in array]
    assert found.c == pytest.approx(float(np.median(rows)), rel=1e-6)
    assert (found.min, found.max) == (float(array.min()), float(array.max()))
    assert found.absmax == float(np.abs(array).max()) and found.whole
    masked = np.where(np.tril(np.ones((6, 6))), array[0, 0, 0], -np.inf)[None]
    assert ranges_of(masked, 1).min == float(array[0, 0, 0])
    assert ranges_of(np.full((2, 3), -np.inf), 0) == s.SiteRange(None, None, None, None)


# -- what an address says ----------------------------------------------------------------------------------------


def test_indices_as_they_stand_in_an_address() -> None:
    assert parse_index("3", "pos") == [3] and parse_index("-1,4", "pos") == [-1, 4]
    assert parse_index("0:10", "pos") == slice(0, 10) and parse_index("::2", "pos") == slice(None, None, 2)
    assert parse_bins("64") == (64,) and parse_bins("12x8") == (12, 8)


@pytest.mark.parametrize("text", ["", "a", "1,", "1.0", "1:2:3:4", "::0", "9" * 12, "3 "])
def test_what_is_no_index_is_refused(text: str) -> None:
    with pytest.raises(BadSelection):
        parse_index(text, "pos")


@pytest.mark.parametrize("text", ["", "0", "x4", "4x", "5000", "4x4x4", "-3"])
def test_what_is_no_number_of_bins_is_refused(text: str) -> None:
    with pytest.raises(BadSelection):
        parse_bins(text)


# -- frames ------------------------------------------------------------------------------------------------------


def test_every_site_travels_as_it_is(any_shape: cutaway.Model) -> None:
    trace = any_shape.trace(some_ids(7))
    tensors, metadata = read_frame(sites_frame(trace, "*"))
    assert list(tensors) == list(declared(any_shape.config))
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, trace[name])
        assert metadata["shapes"][name] == list(array.shape)  # type: ignore[index]
        assert metadata["axes"][name] == list(trace.sites[name].axes)  # type: ignore[index]


def test_a_slice_keeps_its_axes_and_leaves_other_sites_alone(trace: Trace) -> None:
    view = View({"pos": [3], "head": [1, 2], "k_pos": slice(0, 4)})
    names = ["embed", "blocks.1.attn.pattern", "blocks.1.attn.v"]
    tensors, _ = read_frame(sites_frame(trace, names, view))
    np.testing.assert_array_equal(tensors["embed"], trace["embed"][3:4])
    np.testing.assert_array_equal(tensors["blocks.1.attn.pattern"], trace["blocks.1.attn.pattern"][1:3, 3:4, :4])
    np.testing.assert_array_equal(tensors["blocks.1.attn.v"], trace["blocks.1.attn.v"][3:4])


def test_large_sites_are_read_in_part(trace: Trace, model: cutaway.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "WHOLE_BYTES", 16)
    fresh = model.trace(trace.ids)
    name = "blocks.1.attn.pattern"
    tensors, metadata = read_frame(sites_frame(fresh, name, View({"head": [2]})))
    np.testing.assert_allclose(tensors[name], trace[name][2:3], rtol=1e-5, atol=1e-6)
    assert metadata["ranges"][name]["whole"] is False  # type: ignore[index]
    assert fresh._at_hand(name) is None  # the whole was never built


def test_the_index_of_a_reduced_value_points_into_the_whole_site(trace: Trace) -> None:
    name = "blocks.2.attn.pattern"
    whole = trace[name]
    view = View({"head": [3], "q_pos": slice(2, None)}, (4, 3), skip_first=True)
    tensors, _ = read_frame(sites_frame(trace, name, view))
    values, index = tensors[name], tensors[f"{name}#index"]
    assert values.shape == (1, 4, 3) and index.shape == (1, 4, 3, 2) and index.dtype == np.int32
    assert index[..., 0].min() >= 2 and index[..., 1].min() >= 1
    np.testing.assert_array_equal(whole[3, index[..., 0], index[..., 1]], values)
    first, at = tensors[f"{name}#first"], tensors[f"{name}#first_index"]
    np.testing.assert_array_equal(whole[3, at[..., 0], at[..., 1]], first)
    assert (at[..., 1] == 0).all()
    tensors, _ = read_frame(sites_frame(trace, "blocks.1.attn.q", View({"d_head": slice(2, 7)}, (3,))))
    values, index = tensors["blocks.1.attn.q"], tensors["blocks.1.attn.q#index"]
    np.testing.assert_array_equal(np.take_along_axis(trace["blocks.1.attn.q"], index.astype(int), -1), values)
    assert index.min() >= 2 and index.max() <= 6


def test_a_text_of_one_token_has_no_keys_but_the_first(model: cutaway.Model) -> None:
    one = model.trace([5])
    tensors, _ = read_frame(sites_frame(one, "blocks.0.attn.pattern", View(bins=(8, 8), skip_first=True)))
    assert tensors["blocks.0.attn.pattern"].shape == (4, 1, 0)
    assert tensors["blocks.0.attn.pattern#first"].tolist() == [[[1.0]]] * 4


def test_scores_reduce_to_what_is_not_masked(trace: Trace) -> None:
    name = "blocks.0.attn.attn_scores"
    tensors, metadata = read_frame(sites_frame(trace, name, View(bins=(3, 3))))
    assert np.isfinite(tensors[name][:, [0, 1, 2], [0, 1, 2]]).all()
    assert np.isneginf(tensors[name][:, 0, 2]).all()
    assert metadata["ranges"][name]["min"] > -1e6  # type: ignore[index]


def test_too_much_at_once_is_refused_with_what_to_do(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_BYTES", 4000)
    with pytest.raises(BadSelection, match="slice it along pos, vocab"):
        sites_frame(trace, "logits")
    with pytest.raises(BadSelection, match="reduce them"):
        sites_frame(trace, "blocks.*.resid_pre")
    assert len(sites_frame(trace, "blocks.*.resid_pre", View(bins=(4,)))) < 8000
    monkeypatch.setattr(frames, "MOST_SITES", 3)
    with pytest.raises(BadSelection, match="name fewer"):
        sites_frame(trace, "blocks.0.*")
    with pytest.raises(UnknownSite, match="did you mean"):
        sites_frame(trace, "embd")


def test_ranges_are_taken_once(trace: Trace) -> None:
    known: dict[str, s.SiteRange] = {}
    sites_frame(trace, "blocks.0.mlp.post", known=known)
    assert known["blocks.0.mlp.post"] == ranges_of(trace["blocks.0.mlp.post"], 0)
    known["blocks.0.mlp.post"] = s.SiteRange(1.0, 2.0, 2.0, 1.5)
    _, metadata = read_frame(sites_frame(trace, "blocks.0.mlp.post", known=known))
    assert metadata["ranges"]["blocks.0.mlp.post"]["c"] == 1.5  # type: ignore[index]
    _, metadata = read_frame(sites_frame(trace, "blocks.0.mlp.post", View(ranges=False)))
    assert metadata["ranges"] == {}


def test_reading_many_blocks_can_be_stopped(model: cutaway.Model) -> None:
    class Stop(Exception):
        pass

    calls = []

    def check() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise Stop

    with pytest.raises(Stop):
        sites_frame(model.trace(some_ids(5)), "blocks.*.attn.q", check=check)
    assert len(calls) == 2


def test_the_overview_is_the_sites_own(trace: Trace) -> None:
    n_layer = trace.config.n_layer
    norms = {
        local: np.stack([np.linalg.norm(trace[f"blocks.{i}.{local}"], axis=-1) for i in range(n_layer)])
        for local in ("attn_out", "resid_pre", "mlp_out", "resid_mid")
    }
    norms["resid_mid"][1, 3] = 0.0
    following = next_answer(trace.logits(), trace_piece, position=10)
    tensors, metadata = read_frame(overview_frame(trace, norms, following, bins=5, pos=slice(2, 9)))
    stripes = ["embed", *(f"blocks.{i}.resid_pre" for i in range(n_layer)), f"blocks.{n_layer - 1}.resid_post"]
    assert [name for name in tensors if "#" not in name] == [*stripes, "attn_ratio", "mlp_ratio"]
    for name in stripes:
        index = tensors[f"{name}#index"].astype(int)
        np.testing.assert_array_equal(np.take_along_axis(trace[name][2:9], index, -1), tensors[name])
        assert metadata["ranges"][name]["absmax"] == float(np.abs(trace[name]).max())  # type: ignore[index]
    np.testing.assert_allclose(tensors["attn_ratio"], (norms["attn_out"] / norms["resid_pre"])[:, 2:9], rtol=1e-6)
    assert math.isnan(tensors["mlp_ratio"][1, 1]) and np.isnan(tensors["mlp_ratio"]).sum() == 1
    assert metadata["next"]["chosen"] == json.loads(dumps(following.chosen))  # type: ignore[index]


def test_weights_travel_in_their_public_shape(any_shape: cutaway.Model) -> None:
    for name in any_shape.parameters:
        tensors, metadata = read_frame(parameter_frame(any_shape.parameters, name, {}))
        np.testing.assert_array_equal(tensors[name], any_shape.parameters[name])
    tensors, metadata = read_frame(
        parameter_frame(any_shape.parameters, "blocks.1.attn.W_O", {"head": [2], "d_model": slice(4, 20)}, (3,))
    )
    index = tensors["blocks.1.attn.W_O#index"].astype(int)
    whole = any_shape.parameters["blocks.1.attn.W_O"][2:3]
    np.testing.assert_array_equal(np.take_along_axis(whole, index, -1), tensors["blocks.1.attn.W_O"])
    assert metadata["axes"] == {"blocks.1.attn.W_O": ["head", "d_head", "d_model"]}
    with pytest.raises(BadSelection, match='no axis "head"'):
        parameter_frame(any_shape.parameters, "W_U", {"head": [1]})
    with pytest.raises(UnknownSite):
        parameter_frame(any_shape.parameters, "W_X", {})


# -- answers -----------------------------------------------------------------------------------------------------


def trace_piece(id: int) -> cutaway.engine.BarePiece:
    return cutaway.engine.BarePiece(id, f"#{id}")


def test_the_manifest_says_every_shape(model: cutaway.Model) -> None:
    changed = model.intervene({"blocks.1.attn.z": cutaway.zero(head=2, pos=slice(1, 3))})
    trace = changed.trace(some_ids(6))
    said = manifest(trace, model.token, id="x", text="", seconds=0.5)
    assert said.interventions == []
    for name, site in trace.sites.items():
        assert said.shapes[site.template] == list(trace[name].shape)
    assert [token.id for token in said.tokens] == list(trace.ids)
    (applied,) = explain_answer(trace.explain("blocks.1.attn.z", (1, 2, 0))).changed_by
    assert (applied.site, applied.action) == ("blocks.1.attn.z", "zero")
    assert applied.selection == {"head": 2, "pos": {"start": 1, "stop": 3, "step": None}}


def test_explain_closes_to_the_value(trace: Trace) -> None:
    said = explain_answer(trace.explain("blocks.1.attn.qk", (2, 5, 4)))
    q, k = (np.array(each.values, dtype=np.float32) for each in said.inputs)
    assert said.value == pytest.approx(float(q @ k), rel=1e-5)
    assert said.inputs[0].index == [[5], [2], list(range(8))] and said.inputs[1].index[1] == [1]  # grouped keys
    masked = json.loads(dumps(explain_answer(trace.explain("blocks.1.attn.attn_scores", (0, 1, 4)))))
    assert masked["value"] is None and masked["result"] is None


def test_next_follows_the_plain_formulas() -> None:
    logits = np.random.default_rng(8).normal(0, 3, 97).astype(np.float32)
    said = next_answer(
        logits,
        trace_piece,
        position=4,
        k=97,
        sampling=Sampling(0.7, top_k=12, top_p=0.9, min_p=0.02),
        seed=3,
        index=1,
    )
    p = np.exp(logits.astype(np.float64))
    assert said.log_sum_exp == pytest.approx(math.log(p.sum()), rel=1e-9)
    assert [each.rank for each in said.candidates] == list(range(1, 98))
    by_id = {each.token.id: each for each in said.candidates}
    for id, each in by_id.items():
        assert each.probability == pytest.approx(p[id] / p.sum(), rel=1e-6)
        assert each.scaled == pytest.approx(float(logits[id]) / 0.7, rel=1e-6)
        assert each.final == 0 or (each.kept_top_k and each.kept_top_p and each.kept_min_p)
    assert said.kept.top_k == sum(each.kept_top_k for each in said.candidates) == 12
    assert said.kept.top_p == sum(each.kept_top_p for each in said.candidates) <= 12
    assert said.kept.min_p == sum(each.kept_min_p for each in said.candidates) <= said.kept.top_p
    assert sum(each.final for each in said.candidates) == pytest.approx(1)
    assert said.draw is not None and said.draw.token == said.chosen
    mine = next(each for each in said.draw.cumulative if each.token == said.chosen)
    assert mine.low <= said.draw.u < mine.high
    assert [each.low for each in said.draw.cumulative] == sorted(each.low for each in said.draw.cumulative)
    for each in said.draw.cumulative:
        assert each.high - each.low == pytest.approx(by_id[each.token.id].final, abs=1e-12)


def test_a_chosen_token_is_shown_however_unlikely() -> None:
    logits = np.zeros(500, dtype=np.float32)
    logits[7] = 1.0
    said = next_answer(logits, trace_piece, position=0, k=1, seed=12)
    assert said.chosen.id != 7  # 1 in 184 would be
    assert [each.token.id for each in said.candidates] == [7, said.chosen.id]
    greedy = next_answer(logits, trace_piece, position=0, k=1, sampling=Sampling(0.0))
    assert greedy.draw is None and greedy.chosen.id == 7 and greedy.candidates[0].final == 1


def test_likeliest_breaks_ties_by_the_lower_id() -> None:
    assert likeliest(np.array([1, 3, 3, 2, 3], dtype=np.float32), 4) == [1, 2, 4, 3]
    assert likeliest(np.array([1.0, 2.0]), 9) == [1, 0]


def test_surprise_begins_with_nothing(model: cutaway.Model, trace: Trace) -> None:
    said = surprise_answer(model.score(trace.ids))
    assert said.losses[0] is None and len(said.losses) == 11
    assert said.perplexity == pytest.approx(math.exp(np.mean(said.losses[1:])), rel=1e-6)
    assert surprise_answer(None) == s.SurpriseAnswer([None], None)


def test_lens_and_attribution_say_what_the_analysis_found(trace: Trace) -> None:
    said = lens_answer(logit_lens(trace, tokens=[3, 4], k=2), trace_piece)
    assert len(said.depths) == trace.config.n_layer + 1 and said.position == 10
    assert said.depths[-1].top[0].token.id == int(trace.logits().argmax())
    parts = attribution_answer(attribute_logit(trace, 3, against=4), trace_piece)
    total = sum(each.value or 0 for each in parts.parts) + (parts.remainder or 0)
    assert total == pytest.approx(parts.logit, rel=1e-5)
    assert parts.against is not None and parts.against.id == 4
    block = [each.value or 0 for each in parts.parts if each.block == 1 and each.kind == "head"]
    assert sum(block) == pytest.approx(parts.blocks[1].attn, rel=1e-4)


def test_a_model_declares_what_it_has(any_shape: cutaway.Model) -> None:
    said = model_answer(any_shape.config, name="x", max_tokens=9, has_tokenizer=False, has_chat_template=False)
    assert {each.template for each in said.sites} == {site.template for site in any_shape.sites.values()}
    assert {axis for each in said.sites for axis in each.axes} <= set(said.axes)
    (stream,) = [each for each in said.sites if each.template == "blocks.{i}.resid_pre"]
    assert [each.name for each in stream.inputs] == ["blocks.{i-1}.resid_post"]
    assert stream.first_inputs is not None and stream.first_inputs[0].name == "embed"
    kinds = {each.name: each.kind for row in said.sites for each in row.inputs}
    assert kinds["blocks.{i}.attn.W_Q"] == "parameter" and kinds["mask"] == "constant"
    assert any(each.template == "W_U" for each in said.parameters)


# -- the page's types --------------------------------------------------------------------------------------------


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_protocol", ROOT / "scripts" / "make_protocol.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_types_are_what_the_structures_say() -> None:
    made = generator()
    assert made.TARGET.read_text(encoding="utf-8") == made.render(), "run: python scripts/make_protocol.py"


def test_every_kind_of_field_has_its_typescript() -> None:
    made = generator()
    request = made.interface(s.TraceRequest)
    assert "  model: string;" in request and "  ids?: number[] | null;" in request
    answer = made.interface(s.SourceAnswer)
    assert "  values: Num[];" in answer and "  index: number[][];" in answer
    assert "  whole: boolean;" in made.interface(s.SiteRange)  # always sent, whatever its default
    with pytest.raises(TypeError, match="no TypeScript"):
        made.typescript(set)
