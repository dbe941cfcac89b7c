"""One or many `.safetensors` files as one set of tensors, memory-mapped.

Many files belong together by `model.safetensors.index.json`, whose `weight_map` says which file holds which tensor.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cutaway import framing
from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import FORMATS
from cutaway.weights.gguf import TensorInfo
from cutaway.weights.refusals import readable, refuse_other_start, short

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LARGEST_JSON = 64 * 2**20


class SafetensorsFiles:
    """Opened files: `tensors` by name, and `raw(name)`. Raises `BadCheckpoint`."""

    def __init__(self, paths: list[Path], where: Mapping[str, str] | None = None) -> None:
        self.tensors: dict[str, TensorInfo] = {}
        self.size = 0
        self._bytes: dict[str, np.ndarray] = {}
        for path in paths:
            self._open(path, where)

    def _open(self, path: Path, where: Mapping[str, str] | None) -> None:
        refuse_other_start(path, "safetensors")
        with readable(path), open(path, "rb") as file:
            self.size += file.seek(0, 2)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = framing.read_header(mapped, path.name)
        whole = np.frombuffer(mapped, np.uint8)
        for name, entry in header.tensors.items():
            if where is not None and where.get(name) != path.name:
                continue  # the index names another file for it, or none
            self.tensors[name] = TensorInfo(name, entry.dtype, entry.shape, entry.start, entry.stop)
            self._bytes[name] = whole
        for name, file_name in (where or {}).items():
            if file_name == path.name and name not in header.tensors:
                raise BadCheckpoint(
                    f'{path.name} lacks "{short(name)}", which {INDEX} says it holds; fetch both again.'
                )

    def raw(self, name: str) -> np.ndarray:
        """The tensor's bytes, a read-only uint8 view [rows, bytes of a row]."""
        info = self.tensors[name]
        if info.dtype not in FORMATS:
            raise BadCheckpoint(
                f'"{short(name)}" is stored as {info.dtype}; Cutaway reads F32, F16 and BF16 from safetensors, so'
                " convert it to one of them."
            )
        return self._bytes[name][info.start : info.stop].reshape(math.prod(info.shape[:-1]), -1)


def open_folder(folder: Path) -> SafetensorsFiles:
    """All of a folder's tensors. Raises `BadCheckpoint` when a file is missing or the index points elsewhere."""
    index = folder / INDEX
    if index.exists() and not (folder / SINGLE).exists():
        where = _weight_map(index)
        return SafetensorsFiles([folder / name for name in dict.fromkeys(where.values())], where)
    if (folder / SINGLE).exists():
        return SafetensorsFiles([folder / SINGLE])
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return SafetensorsFiles(found)
    raise BadCheckpoint(
        f"{folder} holds {len(found)} .safetensors files and no {INDEX} that says how they belong together; fetch the"
        " index too, or give the path of one file."
    )


def _weight_map(index: Path) -> dict[str, str]:
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise BadCheckpoint(f'{INDEX} has no "weight_map" from tensors to files; fetch it again.')
    names = dict.fromkeys(where.values()) if _all_text(where) else [None]
    for file_name in names:
        _refuse_elsewhere(file_name, index)
        if not (index.parent / str(file_name)).is_file():
            raise BadCheckpoint(f"{index.parent} lacks {file_name}, which {INDEX} names; fetch the missing file.")
    return where


def _all_text(where: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) for name in where.values())


def _refuse_elsewhere(name: str | None, index: Path) -> None:
    """A name in the index is a file beside it: no path that could lead out of the folder."""
    if name is None or name.startswith(".") or any(c in name for c in "/\\:\0") or not name.endswith(".safetensors"):
        shown = short(repr(name)) if name is not None else "something that is not text"
        raise BadCheckpoint(
            f"{INDEX} names {shown}; only .safetensors files beside it are allowed, so fetch it again."
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises `BadCheckpoint` when it is missing, huge, or something else."""
    with readable(path), open(path, "rb") as file:
        raw = file.read() if file.seek(0, 2) <= LARGEST_JSON and file.seek(0) == 0 else b""
    try:
        values = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise BadCheckpoint(f"{path.name} is not a JSON object, so it is damaged; fetch it again.")
    return values
