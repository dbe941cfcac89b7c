"""What can be read: the sites of a model, resolved from the one table for its configuration.

`declared(config)` gives every site by its full name (`blocks.3.attn.pattern`); `canonical` turns an alias into such a
name; `matching` expands globs.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cutaway.config import ModelConfig
from cutaway.errors import UnknownSite, did_you_mean
from cutaway.sites.parameters import declared_parameters
from cutaway.sites.table import AFTER, BEFORE, BLOCK, Formula, Input, Row

CONSTANTS: Mapping[str, tuple[str, ...]] = {
    "rope.cos": ("pos", "pair"),
    "rope.sin": ("pos", "pair"),
    "mask": ("q_pos", "k_pos"),
}

# What each axis counts; the one glossary that the docs, the wire and the page show.
AXES: Mapping[str, str] = {
    "batch": "texts that are run together",
    "pos": "positions: the tokens of the text, in order",
    "q_pos": "positions that look (queries)",
    "k_pos": "positions that are looked at (keys)",
    "head": "attention heads (query heads)",
    "kv_head": "heads of keys and values, each shared by a group of query heads",
    "d_head": "features within one head",
    "d_model": "features of the residual stream",
    "d_mlp": "neurons of the MLP",
    "vocab": "tokens of the vocabulary",
    "n_ctx": "positions that the learned table has rows for",
    "pair": "pairs of features that RoPE turns together",
    "one": "a single number for each position",
}

FEATURE_AXES = ("d_model", "d_head", "d_mlp", "vocab", "one")


@dataclass(frozen=True)
class Site:
    """A declared site of one model. `inputs` carry full names; `block` is None before and after the blocks."""

    name: str
    template: str
    block: int | None
    axes: tuple[str, ...]
    inputs: tuple[Input, ...]
    formula: Formula
    latex: str
    meaning: str
    source: str
    dtype: str = "float32"

    @property
    def feature(self) -> str:
        """The last axis: what `feature=` selects."""
        return self.axes[-1]


@functools.lru_cache(maxsize=16)
def declared(config: ModelConfig) -> Mapping[str, Site]:
    """Every site of a model of this shape, by full name, in the order of the computation."""
    parameters = set(declared_parameters(config)) | {"W_U"}
    rows: list[tuple[str, int | None, Row]] = [(row.name, None, row) for row in BEFORE if row.when(config)]
    block_rows = [row for row in BLOCK if row.when(config)]
    for i in range(config.n_layer):
        rows += [(f"blocks.{i}.{row.name}", i, row) for row in block_rows]
    rows += [(row.name, None, row) for row in AFTER if row.when(config)]
    sites = {name for name, _, _ in rows}
    resolved = {}
    for name, block, row in rows:
        inputs = tuple(
            Input(found, each.index, each.optional)
            for each in row.inputs
            if (found := _resolve(each, block, sites, parameters, config)) is not None
        )
        template = row.name if block is None else "blocks.{i}." + row.name
        absent = any(each.optional for each in row.inputs) and not any(each.optional for each in inputs)
        latex = re.sub(r"\s*\[\[.*?\]\]", "", row.latex) if absent else re.sub(r"\[\[|\]\]", "", row.latex)
        meaning, source = row.meaning, row.source
        resolved[name] = Site(name, template, block, row.axes, inputs, row.formula, latex, meaning, source)
    return resolved


def _resolve(
    each: Input, block: int | None, sites: set[str], parameters: set[str], config: ModelConfig
) -> str | None:
    """The full name of the first alternative that this model has, or None for an absent optional input."""
    for name in each.name.split("|"):
        if name in ("embed", "pos_embed"):
            if block == 0 and name in sites:
                return name
            continue
        if name == "resid_post@before":
            if block:
                return f"blocks.{block - 1}.resid_post"
            continue
        if name == "resid_post@last":
            return f"blocks.{config.n_layer - 1}.resid_post"
        if name in CONSTANTS:
            return name
        full = name if block is None else f"blocks.{block}.{name}"
        for known in (full, name):
            if known in sites or known in parameters:
                return known
    assert each.optional, each.name
    return None


def residual_stream(config: ModelConfig) -> Iterator[str]:
    """What enters each block and what leaves the last: all that a lazy trace keeps. One by one, since a file that is
    read may claim any number of blocks."""
    yield from (f"blocks.{i}.resid_pre" for i in range(config.n_layer))
    yield f"blocks.{config.n_layer - 1}.resid_post"


def site_axes(config: ModelConfig, n_pos: int, n_keys: int) -> dict[str, int]:
    """The length of every axis in a run of `n_pos` rows over `n_keys` keys."""
    return {
        "pos": n_pos,
        "q_pos": n_pos,
        "k_pos": n_keys,
        "head": config.n_head,
        "kv_head": config.n_kv_head,
        "d_head": config.d_head,
        "d_model": config.d_model,
        "d_mlp": config.d_mlp,
        "vocab": config.n_vocab,
        "one": 1,
    }


def canonical(config: ModelConfig, name: str) -> str:
    """The declared name behind `name`: itself, or TransformerLens' spelling with `hook_`. Raises `UnknownSite`."""
    sites = declared(config)
    if not isinstance(name, str):
        raise UnknownSite(f"{name!r} is not the name of a site; names look like blocks.0.attn.pattern.")
    if name in sites:
        return name
    head, _, last = name.rpartition(".")
    plain = last.removeprefix("hook_")
    candidate = f"{head}.{plain}" if head else plain
    if candidate in sites:
        return candidate
    hint = (did_you_mean(candidate, sites) or ".") + _layer_hint(config, candidate)
    raise UnknownSite(f'there is no site "{name}" in this model{hint}')


def _layer_hint(config: ModelConfig, name: str) -> str:
    pieces = name.split(".")
    if len(pieces) > 2 and pieces[0] == "blocks" and pieces[1].isdigit() and int(pieces[1]) >= config.n_layer:
        return f" It has blocks 0 to {config.n_layer - 1}."
    return ""


def matching(config: ModelConfig, patterns: str | Iterable[str]) -> list[str]:
    """Declared names that match any of the globs (`blocks.*.attn.pattern`), in the order of the computation.

    Raises `UnknownSite` for a pattern that matches nothing.
    """
    wanted: set[str] = set()
    listed = [patterns] if isinstance(patterns, str | bytes) or not isinstance(patterns, Iterable) else patterns
    for pattern in listed:
        if isinstance(pattern, str) and any(character in pattern for character in "*?["):
            plain = pattern.replace("hook_", "")
            found = fnmatch.filter(declared(config), plain)
            if not found:
                raise UnknownSite(
                    f'no site of this model matches "{pattern}"; names look like blocks.0.attn.pattern.'
                )
            wanted.update(found)
        else:
            wanted.add(canonical(config, pattern))
    return [name for name in declared(config) if name in wanted]
