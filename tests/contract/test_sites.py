"""What a model emits is what the table declares: names, axes, dtype, and the formula on the declared inputs."""

from __future__ import annotations

import numpy as np
import pytest

import cutaway
from cutaway.sites import canonical, declared, matching, site_axes
from cutaway.trace.sources import evaluate
from tests.support.tiny import SHAPES, some_ids, tiny_config, tiny_model


class Everything:
    """A tap that writes down whatever is emitted, declared or not."""

    def __init__(self, emitted: dict[str, np.ndarray], prefix: str = "") -> None:
        self.emitted = emitted
        self.prefix = prefix

    def __call__(self, site: str, value: np.ndarray) -> np.ndarray:
        self.emitted[self.prefix + site] = value
        return value

    def wants(self, site: str) -> bool:
        return True

    def within(self, prefix: str) -> Everything:
        return Everything(self.emitted, self.prefix + prefix)


def emitted_by(model: cutaway.Model, ids: list[int]) -> dict[str, np.ndarray]:
    from cutaway.models.forward import forward, unembed

    emitted: dict[str, np.ndarray] = {}
    tap = Everything(emitted)
    x = forward(model.config, model.parameters, np.asarray(ids), tap=tap)
    unembed(model.config, model.parameters, x, tap=tap)
    return emitted


def test_emitted_equals_declared(any_shape: cutaway.Model) -> None:
    ids = some_ids(7)
    emitted = emitted_by(any_shape, ids)
    sites = declared(any_shape.config)
    assert set(emitted) == set(sites)
    sizes = site_axes(any_shape.config, len(ids), len(ids))
    for name, value in emitted.items():
        assert value.dtype == np.float32 == np.dtype(sites[name].dtype), name
        assert value.shape == tuple(sizes[axis] for axis in sites[name].axes), name


def test_the_order_of_declaration_is_the_order_of_computation(any_shape: cutaway.Model) -> None:
    assert list(emitted_by(any_shape, some_ids(5))) == list(declared(any_shape.config))


def test_every_formula_gives_its_value(any_shape: cutaway.Model) -> None:
    ids = some_ids(9)
    emitted = emitted_by(any_shape, ids)
    trace = any_shape.trace(ids)
    for name, site in declared(any_shape.config).items():
        again = evaluate(trace, site, [None] * len(site.axes))
        assert again.dtype == np.float32, name
        np.testing.assert_allclose(again, emitted[name], rtol=2e-5, atol=2e-5, err_msg=name)


def test_every_input_of_a_site_was_computed_before_it(any_shape: cutaway.Model) -> None:
    order = {name: at for at, name in enumerate(declared(any_shape.config))}
    for name, site in declared(any_shape.config).items():
        for each in site.inputs:
            assert each.name not in order or order[each.name] < order[name], (name, each.name)


@pytest.mark.parametrize("shape", ["gpt2", "llama-gqa", "qwen3", "mistral-window"])
def test_every_site_is_explained(shape: str) -> None:
    model = tiny_model(shape)
    trace = model.trace(some_ids(8))
    draw = np.random.default_rng(1)
    for name, site in declared(model.config).items():
        index = tuple(int(draw.integers(0, trace.axis_sizes[axis])) for axis in site.axes)
        explained = trace.explain(name, index)
        assert explained.value == pytest.approx(trace[name][index], rel=1e-5, abs=1e-5), name
        assert explained.result == pytest.approx(explained.value, rel=3e-5, abs=3e-5), name
        for each in explained.inputs:  # the values shown are the values that stand there
            if each.kind == "site":
                whole = trace[each.name]
                there = whole[np.ix_(*each.index)]
                np.testing.assert_allclose(each.values, there, rtol=1e-5, atol=1e-5, err_msg=f"{name} <- {each.name}")
            elif each.kind == "parameter":
                np.testing.assert_array_equal(each.values, model.parameters[each.name][np.ix_(*each.index)])


def test_from_any_number_back_to_the_embedding_is_a_finite_walk() -> None:
    model = tiny_model("llama-gqa")
    trace = model.trace(some_ids(6))
    name, index = "logits", (5, 11)
    steps = 0
    while name != "embed":
        explained = trace.explain(name, index)
        source = next(each for each in explained.inputs if each.kind == "site")
        strongest = np.unravel_index(int(np.argmax(np.abs(np.nan_to_num(source.values)))), source.values.shape)
        name, index = source.name, tuple(source.index[a][i] for a, i in enumerate(strongest))
        steps += 1
        assert steps < 200
    assert trace.explain("embed", index).inputs[0].name == "W_E"


def test_no_formula_mentions_a_bias_that_the_model_lacks() -> None:
    with_bias, without = declared(tiny_config("gpt2")), declared(tiny_config("gpt2-no-bias"))
    assert "b_Q" in with_bias["blocks.0.attn.q"].latex
    assert "b_Q" not in without["blocks.0.attn.q"].latex
    assert all("[[" not in site.latex for sites in (with_bias, without) for site in sites.values())


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_names_with_hook_are_accepted(shape: str) -> None:
    config = tiny_config(shape)
    assert canonical(config, "blocks.1.attn.hook_pattern") == "blocks.1.attn.pattern"
    assert canonical(config, "blocks.0.hook_resid_pre") == "blocks.0.resid_pre"
    assert canonical(config, "ln_final.hook_scale") == "ln_final.scale"
    assert matching(config, "blocks.*.attn.hook_z") == [f"blocks.{i}.attn.z" for i in range(config.n_layer)]


def test_an_unknown_site_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(
        cutaway.CutawayError, match=r'blocks\.1\.attn\.patern.*did you mean "blocks\.1\.attn\.pattern"'
    ):
        canonical(tiny_config("gpt2"), "blocks.1.attn.patern")
    with pytest.raises(cutaway.CutawayError, match="blocks 0 to 2"):
        canonical(tiny_config("gpt2"), "blocks.7.attn.pattern")
