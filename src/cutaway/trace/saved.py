"""Saved traces: one safetensors file that another program can open, and that Cutaway opens lazily again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cutaway import framing
from cutaway.config import ModelConfig
from cutaway.errors import BadCheckpoint, BadSelection
from cutaway.parameters import Parameters
from cutaway.sites import declared, residual_stream, site_axes
from cutaway.tap import Tap
from cutaway.trace.interventions import Interventions
from cutaway.trace.trace import Replay, Trace

FORMAT = "cutaway-trace-1"

Pasts = Callable[[int], tuple[np.ndarray, np.ndarray] | None]
ReplayOf = Callable[[Sequence[int], int, Pasts | None], Replay]


@dataclass(frozen=True)
class SavedPiece:
    """A token as it was written down."""

    id: int
    text: str
    bytes: bytes


def save(trace: Trace, path: str | Path, sites: str | Iterable[str] = ()) -> None:
    """Tokens, interventions, the residual stream between blocks, and `sites` in full; F32 and I32 alone."""
    framing.write(path, *_content(trace, sites))


def pieces(trace: Trace, sites: str | Iterable[str] = ()) -> list[bytes | memoryview]:
    """What `save` writes, without a file: nothing is copied that the trace holds already."""
    return framing.pieces(*_content(trace, sites))


def _content(trace: Trace, sites: str | Iterable[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    config = trace.config
    extra = trace.read_many(sites) if sites else {}
    # their arrays lie beside the others: a patched pattern would burst the header, and JSON has no infinity
    values = {
        f"intervention.{n}": each.value for n, each in enumerate(trace.interventions.bound) if each.value is not None
    }
    changes = [
        replace(each, value=None).to_dict() | ({"value": name} if (name := f"intervention.{n}") in values else {})
        for n, each in enumerate(trace.interventions.bound)
    ]
    pieces = {str(each.id): [each.text, base64.b64encode(each.bytes).decode()] for each in trace.tokens}
    manifest = {
        "format": FORMAT,
        "model": trace.model,
        "config": config.to_dict(),
        "start": trace.start,
        "pieces": pieces,
        "interventions": changes,
        "sites": list(extra),
    }
    tensors = {"tokens": np.asarray(trace.ids, dtype=np.int32)}
    tensors |= {name: trace[name] for name in residual_stream(config)}
    tensors |= extra | values
    for i in range(config.n_layer):
        past = trace.past(i)
        if past is not None:
            tensors |= {f"past.{i}.k": past[0], f"past.{i}.v": past[1]}
    return tensors, {"cutaway": json.dumps(manifest)}


def load(path: str | Path, replay: ReplayOf | None = None, config: ModelConfig | None = None) -> Trace:
    """A trace from `save`. Without its model (`replay`, given ids, start, and remembered keys and values) only what
    the file holds can be read.

    Raises `BadCheckpoint` when the file is not such a trace or was made with a model of another shape.
    """
    path = Path(path)
    try:
        tensors, metadata = framing.unpack(path.read_bytes(), path.name)
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read ({error.strerror}); give the path of a saved trace.") from error
    except ValueError:  # a null byte
        raise BadCheckpoint(f"{str(path)!r} cannot be the path of a file; give the path of a saved trace.") from None
    try:
        manifest = json.loads(metadata["cutaway"])
        if manifest["format"] != FORMAT:
            raise ValueError(manifest["format"])
        saved = ModelConfig.of(manifest["config"])
        pieces = {
            int(i): SavedPiece(int(i), text, base64.b64decode(raw)) for i, (text, raw) in manifest["pieces"].items()
        }
        ids = [int(i) for i in tensors["tokens"]]
        start = int(manifest["start"])
        residual = [tensors[name] for name in residual_stream(saved)]
        changes = [
            {**each, "value": tensors[each["value"]]} if isinstance(each["value"], str) else each
            for each in manifest["interventions"]
        ]
        interventions = Interventions.of(saved, changes)
        kept = {name: tensors[name] for name in manifest["sites"]}
        past = [
            (tensors[f"past.{i}.k"], tensors[f"past.{i}.v"]) if f"past.{i}.k" in tensors else None
            for i in range(saved.n_layer)
        ]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise BadCheckpoint(f"{path.name} is not a trace that Cutaway saved ({FORMAT}).") from None
    if wrong := _contradiction(saved, ids, start, pieces, residual, kept, past):
        raise BadCheckpoint(f"{path.name} contradicts itself: {wrong} and the rest do not fit together.")
    if config is not None and _shape_of(config) != _shape_of(saved):
        raise BadCheckpoint(f"{path.name} was made with {manifest['model']}, whose shape is not this model's.")
    held: Replay = _FromFile(path.name, list(kept), past)
    if replay is not None:
        held = replay(ids, start, held.past if start else None)
    return Trace(
        config=saved,
        ids=ids,
        residual=residual,
        replay=held,
        piece=lambda i: pieces.get(i) or SavedPiece(i, f"#{i}", b""),
        interventions=interventions,
        start=start,
        kept=kept,
        model=manifest["model"],
    )


def _contradiction(
    config: ModelConfig,
    ids: Sequence[int],
    start: int,
    pieces: Iterable[int],
    residual: Sequence[np.ndarray],
    kept: Mapping[str, np.ndarray],
    past: Sequence[tuple[np.ndarray, np.ndarray] | None],
) -> str:
    """What does not have the shape that tokens and configuration ask for; empty if all have it."""
    inside = all(0 <= i < config.n_vocab for i in ids)
    if not inside or not 0 <= start < len(ids) <= config.n_ctx or not set(ids) <= set(pieces):
        return "its tokens"
    sizes = site_axes(config, len(ids) - start, len(ids))
    rows = (sizes["pos"], config.d_model)
    if any(each.shape != rows or each.dtype != np.float32 for each in residual):
        return "its residual stream"
    for name, each in kept.items():
        site = declared(config).get(name)
        if site is None or each.shape != tuple(sizes[axis] for axis in site.axes) or each.dtype != np.float32:
            return f'"{name}"'
    remembered = (start, config.n_kv_head, config.d_head)
    for pair in past:
        shapes = {(each.shape, each.dtype.name) for each in pair or ()}
        if (start and pair is None) or shapes - {(remembered, "float32")}:
            return "its keys and values"
    return ""


def _shape_of(config: ModelConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key != "name"}


class _FromFile:
    """Stands in for the model of a trace that was loaded without one: says what is missing, and what is there."""

    def __init__(self, name: str, sites: Sequence[str], past: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> None:
        self._name = name
        self._sites = sites
        self._past = past

    def _refuse(self) -> BadSelection:
        there = ", ".join(self._sites[:6]) or "none beside the residual stream"
        return BadSelection(
            f"{self._name} was opened without its model, and this is not among the sites saved in it ({there});"
            " give load_trace the model to compute it."
        )

    @property
    def parameters(self) -> Parameters:
        raise self._refuse()

    def before(self, tap: Tap) -> None:
        raise self._refuse()

    def block(self, i: int, x: np.ndarray, tap: Tap) -> None:
        raise self._refuse()

    def after(self, x: np.ndarray, tap: Tap) -> None:
        raise self._refuse()

    def past(self, i: int) -> tuple[np.ndarray, np.ndarray] | None:
        return self._past[i]

    def step(self, row: int, past: Pasts) -> Replay | None:
        return None
