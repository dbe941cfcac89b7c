"""From a part of a site to the parts of its declared inputs, and back to the value: one rule for slices,
explanations and the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cutaway import ops
from cutaway.ops import causal_mask, rope_angles
from cutaway.sites import CONSTANTS, Site
from cutaway.sites.table import Input
from cutaway.trace.selection import Picked, take

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace


@dataclass(frozen=True)
class Part:
    """The part of one input that an output part needs. `picked` counts along each of its own axes; along the
    position axis of keys and values it counts all positions of the text, from 0."""

    name: str
    kind: str  # "site", "parameter" or "constant"
    axes: tuple[str, ...]
    picked: tuple[Picked, ...]
    values: np.ndarray


def parts(trace: Trace, site: Site, picked: Sequence[Picked]) -> list[Part]:
    """What each declared input of `site` contributes to its `picked` part."""
    return [_part(trace, each, site, picked) for each in site.inputs]


# What runs, in place of the definition, so that a slice has the very bits of the whole.
AS_RUN: dict[str, Callable[..., Any]] = {
    "attn.qk": ops.query_key_products,
    "attn.pattern": ops.softmax,
    "attn.result": ops.head_parts,
}


def evaluate(trace: Trace, site: Site, picked: Sequence[Picked]) -> np.ndarray:
    """The picked part of `site`, as the model computes it, from its inputs. As large as the part and its inputs, no
    larger."""
    values = [each.values for each in parts(trace, site, picked)]
    run = AS_RUN.get(site.name.split(".", 2)[-1])
    if run is None:
        return apply_formula(trace, site, picked, values)
    return _cut(site, picked, np.asarray(run(*values)))


def apply_formula(trace: Trace, site: Site, picked: Sequence[Picked], values: Sequence[Any]) -> np.ndarray:
    """The picked part of `site`, by its formula."""
    return _cut(site, picked, np.asarray(site.formula(trace.config, *values)))


def _cut(site: Site, picked: Sequence[Picked], value: np.ndarray) -> np.ndarray:
    bound = {name for each in site.inputs for index in each.index for name in _bound(index)}
    # an axis that no input is cut along (the keys of a softmax) comes out whole, and is cut now
    return take(value, [None if axis in bound else each for axis, each in zip(site.axes, picked, strict=True)])


def _bound(index: str) -> tuple[str, ...]:
    if index in ("*", "keys"):
        return ()
    if index == "head/group":
        return ("head",)
    return (index.split("[")[1].rstrip("]"),) if "[" in index else (index,)


def _part(trace: Trace, each: Input, site: Site, picked: Sequence[Picked]) -> Part:
    along = dict(zip(site.axes, picked, strict=True))
    sizes = trace.axis_sizes
    cut: list[Picked] = []
    for index in each.index:
        if index in ("*", "keys"):
            cut.append(None)
        elif index == "head/group":
            heads = along["head"]
            cut.append((np.arange(sizes["head"]) if heads is None else heads) // trace.config.group)
        elif "[" in index:
            rows = along["pos"]
            rows = trace.positions if rows is None else rows + trace.start
            cut.append(np.asarray(trace.ids)[rows] if index.startswith("token") else rows)
        else:
            cut.append(along[index])
    if each.name in CONSTANTS:
        axes = CONSTANTS[each.name]
        return Part(each.name, "constant", axes, tuple(cut), _constant(trace, each.name, cut))
    if each.name in trace.sites:
        source = trace.sites[each.name]
        if any(index in ("keys", "k_pos") for index in each.index) and source.axes[0] == "pos":
            values = take(_all_keys(trace, source), cut)
        else:
            values = trace.gather(each.name, cut)
        return Part(each.name, "site", source.axes, tuple(cut), values)
    axes = ("d_model", "vocab") if each.name == "W_U" else trace.parameters.declared[each.name].axes
    return Part(each.name, "parameter", axes, tuple(cut), take(trace.parameters[each.name], cut))


def _all_keys(trace: Trace, source: Site) -> np.ndarray:
    """Keys or values at every position: those that the cache remembered, then this trace's own."""
    own = trace[source.name]
    assert source.block is not None
    past = trace.past(source.block)
    if past is None:
        return own
    return np.concatenate([past[1] if source.name.endswith("attn.v") else past[0], own], axis=0)


def _constant(trace: Trace, name: str, cut: Sequence[Picked]) -> np.ndarray:
    rows = trace.positions if cut[0] is None else cut[0] + trace.start
    if name == "mask":
        keys = np.arange(len(trace.ids)) if cut[1] is None else cut[1]
        windowed = trace.config.sliding_window if trace.config.traits.windowed else None
        return np.asarray(causal_mask(rows, keys, windowed))
    cos, sin = rope_angles(trace.config, rows)
    return np.asarray(cos if name == "rope.cos" else sin)
