"""Answers about a model: its shape, its declared sites and parameters, its pieces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cutaway.config import ModelConfig
from cutaway.sites import AXES, CONSTANTS, Site, declared
from cutaway.sites.parameters import declared_parameters, parameter_count
from cutaway.sites.table import Input
from cutaway.wire import structures as s
from cutaway.wire.answers import PieceLike, token_answer

if TYPE_CHECKING:
    from cutaway.tokenizers import PieceMerges


def model_answer(
    config: ModelConfig, *, name: str, max_tokens: int, has_tokenizer: bool, has_chat_template: bool
) -> s.ModelAnswer:
    return s.ModelAnswer(
        name=name,
        config=s.ConfigAnswer(**config.to_dict()),
        traits=s.TraitsAnswer(**dataclasses.asdict(config.traits)),
        n_params=parameter_count(config),
        max_tokens=max_tokens,
        has_tokenizer=has_tokenizer,
        has_chat_template=has_chat_template,
        sites=_sites(config),
        parameters=_parameters(config),
        axes=dict(AXES),
    )


def _sites(config: ModelConfig) -> list[s.SiteRow]:
    """One row a template, as in the second block; block 0 reads the embedding instead of the block before."""
    rows: dict[str, s.SiteRow] = {}
    sites = declared(config)
    last = config.n_layer - 1
    for site in sites.values():
        block = site.block
        if block is not None and block != min(1, last):
            continue
        first = sites[site.name.replace("blocks.1.", "blocks.0.", 1)]
        here, there = _inputs(config, site), _inputs(config, first)
        rows[site.template] = s.SiteRow(
            template=site.template,
            axes=list(site.axes),
            inputs=here,
            first_inputs=there if here != there else None,
            latex=site.latex,
            meaning=site.meaning,
            source=site.source,
        )
    return list(rows.values())


def _inputs(config: ModelConfig, site: Site) -> list[s.InputRow]:
    sites = declared(config)
    return [s.InputRow(_template(each, site), list(each.index), _kind(each.name, sites)) for each in site.inputs]


def _template(each: Input, site: Site) -> str:
    if site.block is None:
        return each.name
    name = each.name.replace(f"blocks.{site.block}.", "blocks.{i}.", 1)
    return name.replace(f"blocks.{site.block - 1}.", "blocks.{i-1}.", 1)


def _kind(name: str, sites: Mapping[str, Site]) -> str:
    return "constant" if name in CONSTANTS else "site" if name in sites else "parameter"


def _parameters(config: ModelConfig) -> list[s.ParameterRow]:
    rows: dict[str, s.ParameterRow] = {}
    for parameter in declared_parameters(config).values():
        template = parameter.name
        if template.startswith("blocks."):
            _, _, rest = template.split(".", 2)
            template = "blocks.{i}." + rest
        rows.setdefault(
            template, s.ParameterRow(template, list(parameter.axes), list(parameter.shape), parameter.meaning)
        )
    if config.tied:
        shape = [config.d_model, config.n_vocab]
        rows["W_U"] = s.ParameterRow("W_U", ["d_model", "vocab"], shape, "the embedding, transposed")
    return list(rows.values())


def tokenize_answer(pieces: Sequence[PieceLike], words: Sequence[PieceMerges], first: int = 0) -> s.TokenizeAnswer:
    return s.TokenizeAnswer([token_answer(each) for each in pieces], [_word(each) for each in words], first)


def _word(word: PieceMerges) -> s.WordAnswer:
    merges = [
        s.MergeAnswer(
            token_answer(each.left), token_answer(each.right), token_answer(each.result), each.rank, each.at
        )
        for each in word.merges
    ]
    return s.WordAnswer(
        text=word.text,
        start=[token_answer(each) for each in word.start],
        merges=merges,
        tokens=[each.id for each in word.pieces],
        whole=word.whole,
    )


def parameters_answer(table: Mapping[str, Any]) -> s.ParametersAnswer:
    """From `ParameterTable.to_dict()`."""
    rows = [s.ParameterTableRow(**row) for row in table["rows"]]
    lengths = [s.LengthCost(**each) for each in table["lengths"]]
    return s.ParametersAnswer(**{**table, "rows": rows, "lengths": lengths})
