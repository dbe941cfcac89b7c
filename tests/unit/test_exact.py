"""With the native kernels a row's numbers have the same bits however they are had: by the cache or without, from the
replay or the recording, as a slice or whole, among other texts or alone, on one thread or many, in one call or line
by line. With the NumPy twin the same holds within 1e-5 of the site's largest value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.engine import Model
from cutaway.generation.kv_cache import KVCache
from cutaway.kernels import native, room
from cutaway.models import fused
from cutaway.models.forward import forward, unembed
from cutaway.tap import SILENT
from tests.support.tiny import SHAPES, some_ids, tiny_model

N = 37  # no multiple of 16, of a tile, of a block of queries
IDS = some_ids(N, seed=3)


def same(a: np.ndarray, b: np.ndarray, what: str = "") -> None:
    assert a.shape == b.shape, what
    if native.MODULE is not None:
        np.testing.assert_array_equal(a, b, err_msg=what)
    else:
        largest = np.abs(a[np.isfinite(a)]).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * largest + 1e-30, err_msg=what)


# a window of 5 keys is summed alike wherever it starts; one of 11 is not
@pytest.fixture(params=[*SHAPES, "mistral-window-11"])
def model(request: pytest.FixtureRequest) -> Model:
    shape, _, window = request.param.partition("-window-")
    return tiny_model("mistral-window", sliding_window=int(window)) if window else tiny_model(shape)


@pytest.fixture
def threads() -> Iterator[Any]:
    if native.MODULE is None:
        pytest.skip("the native kernels are not built")
    before = native.MODULE.threads()
    yield native.MODULE.set_threads
    native.MODULE.set_threads(before)


def test_nothing_is_left_of_what_lay_there(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is used again as it was: every number of every site is written."""
    # "*" would ask for each head's part, which a block in one call does not give
    names = [
        name for name in model.sites if name.partition(".")[0] != "blocks" or name.split(".", 2)[2] in fused.KNOWN
    ]
    plain = model.trace(IDS, record=names)
    expected = {name: np.array(plain[name]) for name in plain.sites}
    take = room.ROOMS.take
    monkeypatch.setattr(room, "LARGE", 1)

    def dirty(n_bytes: int) -> np.ndarray:
        taken: np.ndarray = take(n_bytes)
        taken[:] = np.nan
        return taken

    monkeypatch.setattr(room.ROOMS, "take", dirty)
    recorded, lazy = model.trace(IDS, record=names), model.trace(IDS)
    for name, array in expected.items():
        same(recorded[name], array, name)
        same(lazy[name], array, name)


class Reading:
    """A tap that reads everything, and says so (`quietly`) or is asked at every site."""

    def __init__(
        self,
        quietly: bool,
        seen: dict[str, np.ndarray] | None = None,
        prefix: str = "",
        wanted: frozenset[str] = fused.KNOWN,
    ) -> None:
        self.quietly = quietly
        self.wanted = wanted
        self.seen: dict[str, np.ndarray] = {} if seen is None else seen
        self.prefix = prefix

    def __call__(self, site: str, value: np.ndarray) -> np.ndarray:
        self.seen[self.prefix + site] = np.array(value)
        return value

    def wants(self, site: str) -> bool:
        return site != "attn.result"

    def only_reads(self) -> Any:
        return self.wanted if self.quietly else None

    def within(self, prefix: str) -> Reading:
        return Reading(self.quietly, self.seen, self.prefix + prefix, self.wanted)


def test_a_block_in_one_call_is_the_equations(model: Model) -> None:
    if native.MODULE is None:
        pytest.skip("without native kernels the equations always run")
    quiet, asked = Reading(quietly=True), Reading(quietly=False)
    ids = np.asarray(IDS)
    a = forward(model.config, model.parameters, ids, tap=quiet)
    b = forward(model.config, model.parameters, ids, tap=asked)
    assert model.parameters.block(0).kernel is not None
    same(a, b)
    assert {*quiet.seen} >= {*asked.seen}
    for name, value in asked.seen.items():
        same(quiet.seen[name], value, name)
    same(forward(model.config, model.parameters, ids, tap=SILENT), b)


@pytest.mark.parametrize("shape", ["llama-gqa", "mistral-window", "gpt2"])
def test_so_it_is_over_many_rows(shape: str) -> None:
    """More than the rows that one thread opens at a time."""
    if native.MODULE is None:
        pytest.skip("without native kernels the equations always run")
    model = tiny_model(shape, n_ctx=256)
    ids = np.asarray(some_ids(211))
    for wanted in (fused.KNOWN, fused.KNOWN - {"attn.qk", "attn.qk_scaled"}):
        quiet, asked = Reading(quietly=True, wanted=wanted), Reading(quietly=False, wanted=wanted)
        same(
            forward(model.config, model.parameters, ids, tap=quiet),
            forward(model.config, model.parameters, ids, tap=asked),
        )
        both = quiet.seen.keys() & asked.seen.keys()
        assert "blocks.2.attn.pattern" in both
        for name in both:
            same(quiet.seen[name], asked.seen[name], name)


def test_the_one_call_is_taken_where_nobody_acts(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    if native.MODULE is None:
        pytest.skip("without native kernels the equations always run")
    from cutaway.models.registry import equations

    def broken(*_: Any) -> Any:
        raise AssertionError("the equations ran line by line")

    monkeypatch.setattr(equations(model.config), "block", broken)
    trace = model.trace(IDS, record=["blocks.*.attn.pattern", "blocks.1.mlp_out"])
    assert trace["blocks.1.attn.pattern"].shape[-1] == N
    with pytest.raises(AssertionError, match="line by line"):
        model.intervene({"blocks.1.attn.z": cutaway.zero(head=1)}).trace(IDS)


@pytest.mark.parametrize("step", [1, 2, 5, 16])
def test_cached_is_uncached(model: Model, step: int) -> None:
    whole = forward(model.config, model.parameters, np.asarray(IDS))
    cache = KVCache(model.config.n_layer)
    rows = [
        forward(model.config, model.parameters, np.asarray(IDS[at : at + step]), cache=cache)
        for at in range(0, N, step)
    ]
    same(np.concatenate(rows), whole)
    logits = unembed(model.config, model.parameters, whole)
    same(np.concatenate([unembed(model.config, model.parameters, each) for each in rows]), logits)


def test_lazy_is_recorded(model: Model) -> None:
    lazy, recorded = model.trace(IDS), model.trace(IDS, record="*")
    for name in model.sites:
        same(lazy[name], recorded[name], name)


def test_sliced_is_whole(model: Model) -> None:
    whole = model.trace(IDS)
    heads, rows = [model.config.n_head - 1, 0], [0, 5, 17, N - 1]
    for name, site in model.sites.items():
        sliced = model.trace(IDS)  # nothing remembered
        named = {"head": heads, "q_pos": rows, "k_pos": slice(3, 20), "pos": rows}
        chosen = {axis: index for axis, index in named.items() if axis in site.axes}
        if not chosen:
            continue
        expected = whole[name]
        for axis, index in chosen.items():
            at = site.axes.index(axis)
            picked = np.arange(expected.shape[at])[index]
            expected = np.take(expected, picked, axis=at)
        same(sliced.read(name, **chosen), expected, name)


def test_batched_is_alone(model: Model) -> None:
    texts = [some_ids(n, seed=n) for n in (1, 7, 16, 33, 2)]
    for ids, trace in zip(texts, model.trace(texts), strict=True):
        alone = model.trace(ids)
        for name in (f"blocks.{model.config.n_layer - 1}.resid_post", "blocks.1.attn.pattern", "logits"):
            same(trace[name], alone[name], name)


def test_a_step_of_a_generation_is_a_row_of_the_whole(model: Model) -> None:
    steps = list(model.generate(IDS[:5], max_new_tokens=9, temperature=0.0, eos_ids=[]))
    ids = [*IDS[:5], *(step.token_id for step in steps)]
    whole = model.trace(ids[:-1])
    for step in steps:
        row = step.position - 1
        same(step.trace["logits"][-1], whole["logits"][row])
        same(step.trace["blocks.2.attn.z"][-1], whole["blocks.2.attn.z"][row])


def test_on_one_thread_or_many(model: Model, threads: Any) -> None:
    found = []
    for n in (1, 2, 3, 8):
        threads(n)
        trace = model.trace(IDS * 1, record=["blocks.*.attn.z", "blocks.*.mlp.post"])
        found.append([*(trace[name] for name in ("blocks.1.attn.z", "blocks.2.mlp.post", "logits"))])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            same(a, b)


def test_what_comes_later_changes_nothing_before(model: Model) -> None:
    """Not even where it is no number: a masked key is not looked at."""
    short = model.trace(IDS[:20])
    poisoned = model.intervene({"blocks.0.resid_pre": cutaway.set_to(np.float32(np.inf), pos=[25, 30])})
    with np.errstate(all="ignore"):
        long = poisoned.trace(IDS)
        last = f"blocks.{model.config.n_layer - 1}.resid_post"
        if native.MODULE is not None:
            same(long[last][:20], short[last])
            same(long["blocks.1.attn.z"][:20], short["blocks.1.attn.z"])
