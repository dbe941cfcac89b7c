"""The patching sweep: each number is that of one patched run, made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.analysis import PatchingSweep, patching
from cutaway.errors import BadInput, BadSelection
from tests.support.tiny import some_ids, tiny_model

CLEAN, CORRUPTED = some_ids(7, seed=1), some_ids(6, seed=2)


def by_hand(model: cutaway.Model, site: str, pairs: list[tuple[int, int]], token: int) -> np.ndarray:
    clean = model.trace(CLEAN)
    found = np.full((model.config.n_layer, len(CORRUPTED)), np.nan)
    for layer in range(model.config.n_layer):
        for here, there in pairs:
            change = {f"blocks.{layer}.{site}": cutaway.patch(clean, pos=here, from_pos=there)}
            found[layer, here] = model.intervene(change).trace(CORRUPTED).logits()[token]
    return found


@pytest.mark.parametrize("site", patching.SITES)
def test_it_is_what_patching_by_hand_gives(any_shape: cutaway.Model, site: str) -> None:
    sweep = PatchingSweep(any_shape, CLEAN, CORRUPTED, 5, site=site)
    assert sweep.pairs == tuple((i, i) for i in range(6))
    expected = by_hand(any_shape, site, list(sweep.pairs), 5)
    np.testing.assert_allclose(sweep.values(), expected, rtol=1e-3, atol=1e-4)
    assert sweep.clean == pytest.approx(float(any_shape.trace(CLEAN).logits()[5]), abs=1e-4)
    assert sweep.corrupted == pytest.approx(float(any_shape.trace(CORRUPTED).logits()[5]), abs=1e-4)
    assert np.ptp(expected) > 0.1  # there is something to see


@pytest.mark.parametrize("at_once", [1, 13, 512])
def test_however_many_run_together(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    model = tiny_model("llama-gqa")
    monkeypatch.setattr(patching, "ROWS_AT_ONCE", at_once)
    pairs = [(1, 6), (5, 0), (3, -1)]
    sweep = PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=pairs)
    assert sweep.pairs == ((1, 6), (5, 0), (3, 6))
    np.testing.assert_allclose(sweep.values(), by_hand(model, "resid_pre", pairs, 5), rtol=1e-3, atol=1e-4)
    pauses = sum(row is None for row in sweep.steps())
    assert pauses == {1: 6, 13: 3, 512: 0}[at_once]  # three runs of six rows a layer
    assert np.isnan(sweep.values()[:, [0, 2, 4]]).all()


@pytest.mark.parametrize("site", patching.SITES)
def test_a_long_text_runs_from_the_patched_position_on(
    any_shape: cutaway.Model, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands before a patch is not run again, and the numbers are those of whole runs."""
    pairs = [(0, 3), (1, 6), (5, 0), (3, -1)]
    whole = PatchingSweep(any_shape, CLEAN, CORRUPTED, 5, site=site, pairs=pairs).values()
    monkeypatch.setattr(patching, "TOGETHER", 1)
    rows: list[int] = []
    plain = patching.block

    def counted(*given: Any) -> Any:
        rows.append(len(given[2]))
        return plain(*given)

    monkeypatch.setattr(patching, "block", counted)
    sweep = PatchingSweep(any_shape, CLEAN, CORRUPTED, 5, site=site, pairs=pairs)
    np.testing.assert_array_equal(sweep.values(), whole)
    assert set(rows) == {6, 5, 1, 3}  # from 0, 1, 5 and 3 to the end
    assert sum(rows[:12]) == 3 * patching.rows_swept(6, [0, 1, 5, 3]) == 3 * 15  # the first layer's, in three blocks


def test_others_have_a_turn_inside_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patching, "TOGETHER", 1)
    monkeypatch.setattr(patching, "WORK_AT_ONCE", 6)
    sweep = PatchingSweep(tiny_model("llama-gqa"), CLEAN, CORRUPTED, 5, pairs=[(0, 0)])
    first = [row is None for row in sweep.steps()]
    assert sweep.n_layer == 3
    assert first == [True, True, False, True, False, False]  # a pause before each block after the first
    np.testing.assert_allclose(
        sweep.values()[:, 0], by_hand(tiny_model("llama-gqa"), "resid_pre", [(0, 0)], 5)[:, 0], rtol=1e-3, atol=1e-4
    )


def test_the_lead_over_another() -> None:
    model = tiny_model("gpt2")
    lead = PatchingSweep(model, CLEAN, CORRUPTED, 5, against=9)
    five, nine = (PatchingSweep(model, CLEAN, CORRUPTED, token) for token in (5, 9))
    np.testing.assert_allclose(lead.values(), five.values() - nine.values(), atol=1e-4)
    assert lead.clean == pytest.approx(five.clean - nine.clean, abs=1e-4)


def test_the_ends_of_the_map() -> None:
    """The last position's residual before the last block is all but the answer; nothing brings back what a text alone
    has: patched with itself, every run is the corrupted one."""
    model = tiny_model("llama-gqa")
    clean, corrupted = some_ids(6, seed=1), [*some_ids(5, seed=2), some_ids(6, seed=1)[-1]]
    row = next(iter(PatchingSweep(model, clean, corrupted, 5)))
    assert row.layer == 0
    assert row.values[5] == pytest.approx(PatchingSweep(model, clean, corrupted, 5).corrupted, abs=1e-4)  # same token
    shifted = PatchingSweep(model, clean, clean, 5, site="mlp_out", pairs=[(2, 2), (3, 4)]).values()
    np.testing.assert_allclose(shifted[:, 2], PatchingSweep(model, clean, clean, 5).clean, atol=1e-4)
    assert np.abs(shifted[:, 3] - shifted[:, 2]).max() > 1e-3
    one = PatchingSweep(tiny_model("llama-gqa", n_layer=1), [3], [4], 5)
    np.testing.assert_allclose(one.values(), one.clean, atol=1e-5)


def test_what_is_equal_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first token that differs there is nothing to patch."""
    model, ran = tiny_model("llama-gqa"), []
    plain = PatchingSweep._run
    monkeypatch.setattr(
        PatchingSweep, "_run", lambda sweep, at, here, put: [ran.append(here), plain(sweep, at, here, put)][1]
    )
    sweep = PatchingSweep(model, [*CORRUPTED[:3], 50, *CORRUPTED[4:]], CORRUPTED, 5)
    values = sweep.values()
    assert ran == [[3], [3, 4, 5], [3, 4, 5]]
    np.testing.assert_array_equal(values[:, :3], np.float32(sweep.corrupted))


def test_traces_are_taken_as_they_are() -> None:
    model = tiny_model("qwen3")
    traces = PatchingSweep(model, model.trace(CLEAN), model.trace(CORRUPTED), 5)
    np.testing.assert_array_equal(traces.values(), PatchingSweep(model, CLEAN, CORRUPTED, 5).values())


def test_it_stops_when_it_is_told() -> None:
    class Stop(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:  # 2 runs, then the blocks of the first layer
            raise Stop

    sweep = PatchingSweep(tiny_model("gpt2"), CLEAN, CORRUPTED, 5, check=check)
    with pytest.raises(Stop):
        sweep.values()
    assert calls == 5


def test_what_does_not_fit_is_refused() -> None:
    model = tiny_model("gpt2")
    with pytest.raises(BadInput, match="without others"):
        PatchingSweep(model.intervene({"blocks.0.mlp_out": cutaway.zero()}), CLEAN, CORRUPTED, 5)
    with pytest.raises(BadSelection, match="none of them"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, site="attn.z")
    with pytest.raises(BadInput, match="vocabulary"):
        PatchingSweep(model, CLEAN, CORRUPTED, 97)
    with pytest.raises(BadInput, match="vocabulary"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, against=-1)
    with pytest.raises(BadSelection, match="corrupted text"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=[(6, 0)])
    with pytest.raises(BadSelection, match="clean text"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=[(0, 7)])
    with pytest.raises(BadSelection, match="twice"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=[(0, 1), (-6, 2)])
    with pytest.raises(BadSelection, match="two positions"):
        PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=[(0, 1, 2)])
    assert math.isnan(float(PatchingSweep(model, CLEAN, CORRUPTED, 5, pairs=[]).values()[0, 0]))
