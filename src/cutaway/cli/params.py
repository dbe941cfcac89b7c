"""`cutaway params`: what a model has learned and where, what it costs to run, for real and made-up models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutaway.cli.trace import JsonOption
from cutaway.errors import BadCheckpoint, BadConfig, BadInput, UnknownModel

if TYPE_CHECKING:
    from cutaway.analysis.presets import Shape


def _complete(incomplete: str) -> list[str]:
    from cutaway.analysis.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def _count(name: str, what: str) -> Any:
    return typer.Option(f"--{name.replace('_', '-')}", metavar="N", min=1, help=what, rich_help_panel=None)


def params(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="A known model, a config.json, a weights file or a folder.",
            autocompletion=_complete,
        ),
    ] = None,
    n_layer: Annotated[int | None, _count("n_layer", "Blocks.")] = None,
    d_model: Annotated[int | None, _count("d_model", "Width of the residual stream.")] = None,
    n_head: Annotated[int | None, _count("n_head", "Query heads.")] = None,
    n_kv_head: Annotated[int | None, _count("n_kv_head", "Heads of keys and values.")] = None,
    d_head: Annotated[int | None, _count("d_head", "Width of one head.")] = None,
    d_mlp: Annotated[int | None, _count("d_mlp", "Neurons of an MLP.")] = None,
    n_vocab: Annotated[int | None, _count("n_vocab", "Pieces in the vocabulary.")] = None,
    n_ctx: Annotated[int | None, _count("n_ctx", "Longest text, in pieces.")] = None,
    architecture: Annotated[
        str | None, typer.Option("--architecture", metavar="NAME", help="gpt2, llama, mistral, qwen2 or qwen3.")
    ] = None,
    tied: Annotated[bool | None, typer.Option("--tied/--untied", help="Embedding and unembedding are one.")] = None,
    length: Annotated[
        list[int] | None,
        typer.Option("--length", metavar="N", min=1, help="FLOPs and cache at this length. May be repeated."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Count a model's parameters by part, with shares, formulas, bytes, FLOPs and the cache of keys and values.

    A number given beside a NAME changes that model; n_layer and d_model alone make one up. Nothing is downloaded: a
    known name needs no file.

    \b
    Examples:
      cutaway params gpt2
      cutaway params gpt3
      cutaway params llama-3-8b --length 8192
      cutaway params path/to/config.json
      cutaway params gpt2 --n-layer 24 --d-model 1024 --n-head 16
      cutaway params --n-layer 4 --d-model 256 --architecture llama
    """  # fmt: skip
    from cutaway.analysis.parameters import count

    numbers = {
        key: value
        for key, value in {
            "n_layer": n_layer, "d_model": d_model, "n_head": n_head, "n_kv_head": n_kv_head, "d_head": d_head,
            "d_mlp": d_mlp, "n_vocab": n_vocab, "n_ctx": n_ctx, "architecture": architecture, "tied": tied,
        }.items()
        if value is not None
    }  # fmt: skip
    shape, stored = _shape(name, numbers)
    table = count(shape)
    if json:
        from cutaway.cli.machine import write_json

        write_json({**table.to_dict(length or ()), "stored": stored})
        return
    from cutaway.cli.render_params import show_table
    from cutaway.cli.terminal import screen

    show_table(screen(), table, length or [], stored)


def _shape(name: str | None, numbers: Mapping[str, Any]) -> tuple[Shape, dict[str, Any] | None]:
    """The shape, and for a file what it holds. Raises `UnknownModel`, `BadConfig`, `BadCheckpoint`."""
    from cutaway.analysis.parameters import hypothetical, model_shape
    from cutaway.analysis.presets import ALIASES, PRESETS

    if name is None:
        if not numbers:
            raise BadInput("say which model: a name (gpt2), a file, or at least --n-layer and --d-model.")
        return hypothetical(**numbers), None
    lower = name.strip().lower()
    if lower in PRESETS or lower in ALIASES:
        return (hypothetical(lower, **numbers), None) if numbers else (model_shape(lower), None)
    path = _path(name)
    if path is None:
        return model_shape(name), None  # raises, with the nearest names
    if numbers:
        raise BadInput("numbers change a known model, not a file; leave them out, or name a model such as gpt2.")
    if path.suffix.lower() == ".json":
        return _from_config(path), None
    from cutaway.weights import open_checkpoint

    opened = open_checkpoint(path)
    summary = opened.summary
    return opened.config, {
        "format": summary.format,
        "file_bytes": summary.file_bytes,
        "dtypes": dict(summary.dtypes),
        "parameters": sum(summary.dtypes.values()),
    }


def _path(name: str) -> Path | None:
    """Where a file, folder or a model of the cache lies; None where nothing is called that."""
    from cutaway.weights import catalog

    try:
        location = catalog.find(name)
    except UnknownModel:
        if catalog.looks_like_a_path(name):
            raise
        return None
    if location is None:
        raise UnknownModel(f"{name} is not on this machine; bring it with: cutaway pull {name}")
    return location.path


def _from_config(path: Path) -> Shape:
    import json

    from cutaway.config import ModelConfig
    from cutaway.weights.configs import from_hf

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read ({error.strerror}).") from None
    try:
        values = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadConfig(f"{path.name} is not JSON in UTF-8; give a model's config.json.") from None
    if not isinstance(values, dict):
        raise BadConfig(f"{path.name} holds no configuration; give a model's config.json.")
    name = path.parent.resolve().name
    return ModelConfig.of(values) if "n_kv_head" in values else from_hf(values, path.name, name)
