"""One row of a long run by itself: the same numbers as out of the whole, for the work of one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.analysis.attribution import attribute_logit, attribute_neurons
from cutaway.analysis.heads import strongest
from cutaway.analysis.neurons import largest_neurons
from cutaway.errors import BadSelection
from cutaway.server.traces import Watched
from cutaway.trace import row as row_module
from cutaway.trace.row import row_alone
from tests.support.tiny import some_ids, tiny_model

N = 14


@pytest.fixture(params=[1, N])
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """1: every text is long; N: none is."""
    monkeypatch.setattr(row_module, "SHORT", request.param)
    return int(request.param)


@pytest.mark.parametrize("position", [-1, 0, 6])
def test_every_site_of_the_row_has_the_bits_of_the_whole(
    any_shape: cutaway.Model, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = any_shape.trace(some_ids(N))
    monkeypatch.setattr(row_module, "SHORT", 1)
    alone, row = row_alone(whole, position)
    at = position % N
    assert (len(alone), row, alone.start) == (1, 0, at)
    for name, site in whole.sites.items():
        expected = whole[name]
        where: list[Any] = [slice(None)] * expected.ndim
        for axis, of in enumerate(site.axes):
            if of in ("pos", "q_pos"):
                where[axis] = slice(at, at + 1)
            elif of == "k_pos":
                where[axis] = slice(at + 1)
        np.testing.assert_array_equal(alone[name], expected[tuple(where)], err_msg=name)


def test_the_analyses_say_the_same(any_shape: cutaway.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of(trace: Any, position: int) -> list[Any]:
        return [
            attribute_logit(trace, 11, position=position, against=3).to_dict(),
            attribute_neurons(trace, 1, 11, position=position),
            strongest(trace, position=position),
            largest_neurons(trace, 11, position=position),
        ]

    for position in (-1, 5):
        said = []
        for short in (1, N):
            monkeypatch.setattr(row_module, "SHORT", short)
            said.append(all_of(any_shape.trace(some_ids(N)), position))
        assert said[0] == said[1]


def test_a_changed_run_is_read_as_a_whole(short: int) -> None:
    changed = tiny_model("gpt2").intervene({"blocks.1.mlp_out": cutaway.zero(pos=-1)}).trace(some_ids(N))
    assert row_alone(changed, 4) == (changed, 4)
    assert largest_neurons(changed, 11, position=4)  # and is answered


def test_a_loaded_trace_without_its_model_is_read_as_it_is(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "SHORT", 1)
    tiny_model("gpt2").trace(some_ids(N)).save(tmp_path / "t.safetensors", "*attn.pattern")
    loaded = cutaway.load_trace(tmp_path / "t.safetensors")
    assert row_alone(loaded, 4) == (loaded, 4)
    assert strongest(loaded, position=4)


def test_it_can_be_stopped_at_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "SHORT", 1)
    model = tiny_model("llama-gqa")
    reads = 0

    def check() -> None:
        nonlocal reads
        reads += 1

    watched: Any = Watched(model.trace(some_ids(N)), check)
    attribute_logit(watched, 11)
    assert reads >= model.config.n_layer


def test_a_position_outside_is_refused(short: int) -> None:
    with pytest.raises(BadSelection, match="this trace"):
        strongest(tiny_model("gpt2").trace(some_ids(N)), position=N)
