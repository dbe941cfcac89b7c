"""Lazy = recorded, sliced = whole, batched = alone; reading, explaining, saving."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway import framing
from cutaway.analysis.score import score
from cutaway.errors import BadCheckpoint, BadInput, BadSelection, UnknownSite
from cutaway.ops import attention, log_softmax
from tests.support.tiny import some_ids, tiny_model


def close(a: np.ndarray, b: np.ndarray) -> None:
    """Within 1e-5 of the site's largest finite value, infinities in the same places."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.isfinite(a), finite)
    largest = float(np.abs(b[finite]).max(initial=0.0))
    np.testing.assert_allclose(a[finite], b[finite], rtol=0, atol=1e-5 * max(largest, 1e-3))


def test_lazy_is_recorded(any_shape: cutaway.Model) -> None:
    ids = some_ids(11)
    lazy, recorded = any_shape.trace(ids), any_shape.trace(ids, record="*")
    for name in any_shape.sites:
        close(lazy[name], recorded[name])


def test_read_many_is_reading_one_by_one(any_shape: cutaway.Model) -> None:
    trace, other = any_shape.trace(some_ids(6)), any_shape.trace(some_ids(6))
    together = trace.read_many(["blocks.*.attn.*", "ln_final.*", "logits", "embed"])
    assert list(together) == [name for name in any_shape.sites if name in together]
    for name, array in together.items():
        close(array, other[name])


def test_sliced_is_whole(any_shape: cutaway.Model) -> None:
    ids = some_ids(13)
    whole = any_shape.trace(ids, record="*")
    sliced = any_shape.trace(ids)
    for name, site in any_shape.sites.items():
        where = {axis: slice(1, 7, 2) if axis in ("pos", "q_pos", "k_pos") else -1 for axis in site.axes}
        index = tuple(where[axis] for axis in site.axes)
        close(np.atleast_1d(sliced.read(name, **where)), np.atleast_1d(whole[name][index]))


def test_one_head_of_a_long_text_is_read_without_building_the_whole() -> None:
    model = tiny_model("llama-gqa", n_ctx=4096, n_layer=2)
    trace = model.trace(some_ids(4000))
    tracemalloc.start()
    rows = trace.read("blocks.1.attn.pattern", head=2, q_pos=slice(900, 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.shape == (100, 4000)
    whole = 4 * 4000 * 4000 * 4
    assert peak < whole / 10
    np.testing.assert_allclose(rows.sum(axis=-1), 1.0, rtol=1e-5)
    assert (rows[:, 1000:] == 0).all()


def test_a_trace_holds_the_residual_stream_and_nothing_else() -> None:
    model = tiny_model("llama-gqa")
    trace = model.trace(some_ids(20))
    c = model.config
    assert trace.nbytes == (c.n_layer + 1) * 20 * c.d_model * 4


def test_batched_is_alone(any_shape: cutaway.Model) -> None:
    texts = [some_ids(n, seed=n) for n in (1, 9, 4, 17)]
    together = any_shape.trace(texts)
    assert isinstance(together, list)
    for ids, trace in zip(texts, together, strict=True):
        alone = any_shape.trace(ids)
        assert trace.ids == alone.ids == tuple(ids)
        for name in ("blocks.0.resid_pre", "blocks.2.resid_post", "blocks.1.attn.pattern", "logits"):
            close(trace[name], alone[name])


def test_attention_in_chunks_is_attention_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    q = draw.normal(size=(40, 4, 8)).astype(np.float32)
    k, v = (draw.normal(size=(50, 2, 8)).astype(np.float32) for _ in range(2))
    for window in (None, 7):
        whole = attention(q, k, v, window=window)
        with monkeypatch.context() as patch:
            patch.setattr("cutaway.ops.SCORES_AT_ONCE", 4 * 50 * 3)
            close(attention(q, k, v, window=window), whole)


def test_what_is_read_cannot_be_written_to() -> None:
    trace = tiny_model("gpt2").trace(some_ids(4))
    for array in (trace["blocks.0.resid_pre"], trace["blocks.0.attn.q"], trace.read("logits", pos=-1)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_next_tokens_are_the_softmax_of_the_logits() -> None:
    trace = tiny_model("gpt2").trace(some_ids(5))
    logits = trace.logits()
    best = trace.next_tokens(97, temperature=0.5)
    assert sum(each.probability for each in best) == pytest.approx(1.0, abs=1e-5)
    token, probability, logit = best[0]
    assert token.id == int(np.argmax(logits)) and logit == pytest.approx(float(logits.max()))
    assert probability == pytest.approx(float(np.exp(log_softmax(logits / np.float32(0.5))).max()), rel=1e-5)
    with pytest.raises(BadSelection, match="temperature is 0"):
        trace.next_tokens(3, temperature=0)


def test_score_is_the_cross_entropy_of_every_token() -> None:
    model = tiny_model("llama-gqa", n_ctx=256)
    ids = some_ids(150)  # more than one chunk of rows
    scored = model.score(ids)
    expected = [-log_softmax(model.trace(ids[:n])["logits"][-1])[ids[n]] for n in (1, 70, 149)]
    np.testing.assert_allclose(scored.losses[[0, 69, 148]], expected, rtol=1e-4)
    assert scored.perplexity == pytest.approx(float(np.exp(scored.losses.astype(np.float64).mean())))
    with pytest.raises(BadInput, match="single token"):
        score(model.trace([3]))


def test_bad_reads_say_what_there_is() -> None:
    trace = tiny_model("llama-gqa").trace(some_ids(5))
    with pytest.raises(UnknownSite, match="did you mean"):
        trace["blocks.0.attn.paterns"]
    with pytest.raises(BadSelection, match="head=4 is outside.*4 entries"):
        trace.read("blocks.0.attn.q", head=4)
    with pytest.raises(BadSelection, match='no axis "layer".*pos, head, d_head'):
        trace.read("blocks.0.attn.q", layer=1)
    with pytest.raises(BadSelection, match="expected 3 numbers, got 2"):
        trace.explain("blocks.0.attn.q", (1, 2))
    with pytest.raises(BadSelection, match="whole number"):
        trace.read("blocks.0.attn.q", head=1.5)  # type: ignore[arg-type]


def test_a_single_number_is_an_array_too() -> None:
    trace = tiny_model("gpt2").trace(some_ids(5))
    one = trace.read("blocks.1.attn.pattern", head=2, q_pos=-1, k_pos=0)
    assert one.shape == () and one.dtype == np.float32
    close(one, np.asarray(trace["blocks.1.attn.pattern"][2, 4, 0]))


def test_indices_of_any_whole_type() -> None:
    trace = tiny_model("gpt2", n_ctx=400).trace([1] * 300)
    for dtype in (np.int8, np.uint8, np.uint64):
        assert trace.read("blocks.0.attn_out", pos=np.array([1, 100], dtype)).shape == (2, 32)


@pytest.mark.parametrize("index", [(1.7, 0, 0), ("a", 0, 0), (True, 0, 0), (slice(0, 2), 0, 0), (0, 0), 5, None])
def test_only_a_whole_number_for_each_axis_is_explained(index: Any) -> None:
    with pytest.raises(BadSelection):
        tiny_model("gpt2").trace(some_ids(4)).explain("blocks.0.attn.qk", index)


@pytest.mark.parametrize("name", [5, None, b"logits", ["logits", 5]])
def test_what_is_no_name_is_refused(name: Any) -> None:
    model = tiny_model("gpt2")
    with pytest.raises(cutaway.CutawayError, match="not the name of a site"):
        model.trace(some_ids(4)).read_many(name)
    if not isinstance(name, list):
        with pytest.raises(cutaway.CutawayError, match="not the name of a site"):
            model.trace(some_ids(4))[name]


def test_texts_come_in_any_kind_of_list() -> None:
    model = tiny_model("llama-gqa")
    for ids in (np.array([3, 1, 4]), (3, 1, 4), (i for i in [3, 1, 4]), [np.int64(3), 1, 4]):
        assert model.trace(ids).ids == (3, 1, 4)  # type: ignore[arg-type]
    for texts in (np.array([[3, 1], [4, 1]]), [np.array([3, 1]), (4, 1)]):
        assert [each.ids for each in model.trace(texts)] == [(3, 1), (4, 1)]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"abc", 5, None, np.array(3), [True], [1.0], [None], [[1], 2], [[]], [[[1]]]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    model = tiny_model("gpt2")
    for run in (model.trace, model.score, model.generate):
        with pytest.raises(BadInput):
            run(text)  # type: ignore[operator]


def test_bad_ids_are_refused() -> None:
    model = tiny_model("gpt2")
    for text, match in (([], "empty"), ([97], "outside"), ([-1], "outside"), ([0] * 65, "65 tokens.*64 at most")):
        with pytest.raises(BadInput, match=match):
            model.trace(text)
    with pytest.raises(BadInput, match="no tokenizer"):
        model.trace("text")
    with pytest.raises(BadInput, match="not a token id"):
        model.trace([1, "x"])  # type: ignore[list-item]


def test_broken_weights_are_named() -> None:
    model = tiny_model("gpt2")
    model.parameters.array("blocks.1.mlp.W_out")[3, 4] = np.nan
    with pytest.raises(cutaway.CutawayError, match=r"blocks\.1\.mlp\.W_out holds 1 values"):
        model.trace(some_ids(4))


def test_a_broken_row_is_named_in_a_batch() -> None:
    model = tiny_model("gpt2-untied")
    model.parameters["W_E"][5, 0] = np.nan
    with pytest.raises(cutaway.CutawayError, match="W_E holds 1 values"):
        model.trace([[5, 1], [2, 3]])


def test_broken_weights_of_the_last_step_are_named() -> None:
    model = tiny_model("gpt2-untied")
    model.parameters["W_U"][3, 5] = np.nan
    with pytest.raises(cutaway.CutawayError, match="W_U holds 1 values"):
        model.trace(some_ids(4)).next_tokens(3)


def test_extreme_temperatures_give_probabilities_or_one_sentence() -> None:
    trace = tiny_model("gpt2").trace(some_ids(4))
    assert [each.probability for each in trace.next_tokens(2, temperature=1e-20)] == [1.0, 0.0]
    for bad in (0, -1, 1e-39, 1e39, float("nan"), "warm"):
        with pytest.raises(BadSelection, match="temperature"):
            trace.next_tokens(2, temperature=bad)  # type: ignore[arg-type]


def test_a_hopeless_text_has_an_infinite_perplexity() -> None:
    scored = tiny_model("gpt2").intervene({"logits": cutaway.scale(1e5)}).score(some_ids(6))
    assert scored.loss > 1000 and scored.perplexity == math.inf


@pytest.mark.parametrize("name", ["", ".", "a\0b"])
def test_what_cannot_name_a_file_is_refused(name: str, tmp_path: Path) -> None:
    trace = tiny_model("gpt2").trace(some_ids(3))
    with pytest.raises(cutaway.CutawayError):
        trace.save(name)
    with pytest.raises(BadCheckpoint):
        cutaway.load_trace(name)
    longest = tmp_path / ("n" * 255)  # the file beside it has a short name of its own
    trace.save(longest)
    assert cutaway.load_trace(longest).ids == trace.ids


@pytest.mark.parametrize("shape", ["gpt2", "qwen3"])
def test_save_and_load(shape: str, tmp_path: Path) -> None:
    model = tiny_model(shape)
    edited = model.intervene(
        {"blocks.1.attn.z": cutaway.zero(head=2), "blocks.0.mlp_out": cutaway.scale(0.5, pos=[1])}
    )
    trace = edited.trace(some_ids(7))
    path = tmp_path / "trace.safetensors"
    trace.save(path, sites="blocks.1.attn.pattern")
    header = framing.read_header(path.read_bytes(), path.name)
    assert {entry.dtype for entry in header.tensors.values()} == {"F32", "I32"}
    assert header.data_start % 8 == 0
    json.loads(header.metadata["cutaway"])

    alone = cutaway.load_trace(path)
    assert alone.ids == trace.ids
    np.testing.assert_array_equal(alone["blocks.1.attn.pattern"], trace["blocks.1.attn.pattern"])
    np.testing.assert_array_equal(alone["blocks.2.resid_pre"], trace["blocks.2.resid_pre"])
    with pytest.raises(BadSelection, match="without its model"):
        alone["blocks.1.attn.q"]

    again = cutaway.load_trace(path, model)
    for name in model.sites:  # the interventions came along
        close(again[name], trace[name])
    with pytest.raises(BadCheckpoint, match="shape is not this model's"):
        cutaway.load_trace(path, tiny_model("llama-gqa"))


def test_a_patch_of_any_size_is_saved_and_the_header_is_json(tmp_path: Path) -> None:
    model, path = tiny_model("llama-gqa", n_ctx=2048), tmp_path / "trace.safetensors"
    other = model.trace(some_ids(1200))
    edited = model.intervene({"blocks.0.attn.attn_scores": cutaway.patch(other), "blocks.1.attn.z": cutaway.scale(2)})
    trace = edited.trace(some_ids(9))
    trace.save(path)

    def refuse(name: str) -> float:
        raise AssertionError(name)  # -Infinity is no JSON

    json.loads(framing.read_header(path.read_bytes(), "").metadata["cutaway"], parse_constant=refuse)
    again = cutaway.load_trace(path, model)
    for name in model.sites:
        close(again[name], trace[name])


def test_a_damaged_saved_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.safetensors"
    tiny_model("gpt2").trace(some_ids(3)).save(path)
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:100],
        whole[:-5],
        b"PK" + whole[2:],
        whole.replace(b"cutaway-trace-1", b"cutaway-trace-9"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(cutaway.CutawayError):
            cutaway.load_trace(path)


def _with_manifest(path: Path, changes: dict[str, Any], tensors: dict[str, Any] | None = None) -> None:
    arrays, metadata = framing.unpack(path.read_bytes(), path.name)
    manifest = json.loads(metadata["cutaway"])
    manifest.update(changes)
    framing.write(path, {**arrays, **(tensors or {})}, {"cutaway": json.dumps(manifest)})


@pytest.mark.parametrize(
    ("changes", "tensors"),
    [
        ({}, {"tokens": np.array([1, 97, 2], np.int32)}),
        ({}, {"tokens": np.array([1, -1, 2], np.int32)}),
        ({}, {"logits": np.zeros((3, 5), np.float32)}),
        ({}, {"blocks.1.resid_pre": np.zeros((3, 32), np.int32)}),
        ({"sites": ["tokens"]}, {}),
        ({"start": 1}, {}),
        ({"start": -1}, {}),
        ({"interventions": [5]}, {}),
        ({"interventions": [{"site": "nope", "action": "zero"}]}, {}),
    ],
)
def test_a_saved_trace_that_contradicts_itself_is_refused(
    changes: dict[str, Any], tensors: dict[str, Any], tmp_path: Path
) -> None:
    model, path = tiny_model("gpt2"), tmp_path / "trace.safetensors"
    model.trace([1, 3, 2]).save(path, "logits")
    ids = range(-1, 98)
    _with_manifest(path, {"pieces": {str(i): ["", ""] for i in ids} | {"0": ["", ""]}, **changes}, tensors)
    with pytest.raises(cutaway.CutawayError):
        cutaway.load_trace(path, model)


def test_a_saved_trace_may_claim_any_number_of_blocks(tmp_path: Path) -> None:
    """And is refused at the first that is not there, without listing the others."""
    path = tmp_path / "trace.safetensors"
    model = tiny_model("gpt2")
    model.trace([1, 3, 2]).save(path)
    _with_manifest(path, {"config": {**model.config.to_dict(), "n_layer": 2**31}})
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpoint, match="not a trace"):
            cutaway.load_trace(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_settings_are_refused_by_name_and_range() -> None:
    model = tiny_model("gpt2")
    for settings, match in (
        ({"temprature": 1.0}, 'no setting "temprature"; did you mean "temperature"'),
        ({"temperature": 1e39}, "expected 0 .greedy. or a number from 0.0001 to 10000"),
        ({"repetition_penalty": 1e-46}, "repetition_penalty is 1e-46"),
        ({"eos_ids": ["a"]}, "eos_ids"),
    ):
        with pytest.raises(BadInput, match=match):
            list(model.generate([1, 2], **settings))


def test_a_config_whose_rope_cannot_be_computed_is_refused() -> None:
    from cutaway.config import RopeScaling
    from tests.support.tiny import tiny_config

    for change, match in (
        ({"rope_base": 0.0}, "rope_base is 0.0"),
        ({"rope_scaling": RopeScaling("llama3", 8.0, 4.0, 4.0)}, "must be below"),
        ({"rope_scaling": RopeScaling("linear", 0.0)}, "factor is 0.0"),
        ({"rope_scaling": RopeScaling("factors", factors=(1.0, 2.0))}, "4 positive numbers"),
    ):
        with pytest.raises(cutaway.CutawayError, match=match):
            tiny_config("llama-gqa", **change)
