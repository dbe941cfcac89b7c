"""An opened file or folder as `Parameters` reads it: canonical names, one layout, float32 when asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import FORMATS, Floats, dequantize
from cutaway.sites.parameters import Parameter, declared_parameters
from cutaway.weights.gguf import TensorInfo
from cutaway.weights.names import Kind, Place, locate, unexpected
from cutaway.weights.refusals import short


class Tensors(Protocol):
    """What GGUF and safetensors have in common."""

    size: int

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def raw(self, name: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Summary:
    """`format` "GGUF 3" or "safetensors"; `file_bytes` on disk; how many parameters are stored in which dtype."""

    format: str
    file_bytes: int
    dtypes: Mapping[str, int]


class OpenCheckpoint:
    """Weights that lie open: nothing is read until `read(name)`. See `parameters.Checkpoint`.

    `tokenizer_json` is the folder's file, `tokenizer_metadata` a GGUF's; `chat_template` is the source text of a
    Jinja template, untrusted. Raises `BadCheckpoint` when a parameter is missing or of another shape, or when the
    blocks hold tensors that this architecture does not use.
    """

    def __init__(
        self,
        config: ModelConfig,
        store: Tensors,
        kind: Kind,
        source: Path,
        *,
        format: str,
        interleaved: bool = False,
        tokenizer_json: Path | None = None,
        tokenizer_metadata: Mapping[str, Any] | None = None,
        chat_template: str | None = None,
    ) -> None:
        self.config = config
        self.source = source
        self.tokenizer_json = tokenizer_json
        self.tokenizer_metadata = tokenizer_metadata
        self.chat_template = chat_template
        self._store = store
        self._interleaved = interleaved
        if config.n_layer > len(store.tensors):
            raise self._bad(
                f"should have {config.n_layer} blocks, and holds only {len(store.tensors)} tensors in all"
            )
        self._declared = declared_parameters(config)
        self._places = self._check(locate(config, self._declared, kind, store.tensors))
        used = {place.tensor for place in self._places.values()}
        extra = unexpected(kind, store.tensors, used)
        if extra:
            raise self._bad(
                f'holds "{short(extra[0])}", which a {config.architecture} of {config.n_layer} blocks does not have'
            )
        sizes: Counter[str] = Counter()
        for tensor in used:
            sizes[store.tensors[tensor].dtype] += math.prod(store.tensors[tensor].shape)
        self.file_parameter_count = sizes.total()
        self.summary = Summary(format, store.size, dict(sizes.most_common()))

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter of the model, in the order of the computation."""
        return tuple(self._declared)

    def dtype(self, name: str) -> str:
        """How the file stores it: "F32", "Q4_1", …"""
        return self._store.tensors[self._place(name).tensor].dtype

    def stored_bytes(self, name: str) -> int:
        """Bytes of this parameter in the file."""
        form = FORMATS[self.dtype(name)]
        return self._declared[name].size // form.weights * form.n_bytes

    def read(self, name: str, out: Floats | None = None) -> np.ndarray:
        """The parameter, float32, in its stored shape; matrices that the file keeps as [out, in] come transposed.

        A read-only view of the mapped file where that is float32 already; else dequantised, into `out` when given
        (flat, as long as the parameter).
        """
        raw, dtype = self.stored_rows(name)
        rows = self._float32(raw, dtype, out)
        if self._declared[name].stored_shape == rows.shape and not self._turned(name):
            return rows
        return rows.T if self._turned(name) else rows.reshape(self._declared[name].stored_shape)

    def stored_rows(self, name: str) -> tuple[np.ndarray, str]:
        """The bytes as stored, uint8 [rows, bytes of a row], and their dtype: for products on packed weights.

        Rows are outputs ([out, in]), but for GPT-2's matrices in safetensors, where they are inputs. Q and K are in
        the half-split layout: their rows are moved as packed bytes, which is exact, for a row is whole blocks.
        """
        place = self._place(name)
        raw, dtype = self._store.raw(place.tensor), self.dtype(name)
        if place.part is not None:
            start, stop = self._span(place.part)
            if len(self._store.tensors[place.tensor].shape) == 1 or place.in_out:
                width = FORMATS[dtype].n_bytes  # one weight: a fused row is cut only where rows hold plain numbers
                raw = raw[:, start * width : stop * width]
            else:
                raw = raw[start:stop]
        leaf = name.rsplit(".", 1)[-1]
        if self._interleaved and leaf in ("W_Q", "W_K", "b_Q", "b_K"):
            n_head = self.config.n_head if leaf.endswith("Q") else self.config.n_kv_head
            width = raw.shape[1] if leaf.startswith("W") else FORMATS[dtype].n_bytes
            raw = half_split(raw.reshape(-1, width), n_head).reshape(raw.shape)
        return raw, dtype

    def packed_rows(self, name: str) -> tuple[np.ndarray, str] | None:
        """`stored_rows` with rows that are outputs; None where the file keeps quantised inputs (it never does)."""
        raw, dtype = self.stored_rows(name)
        if self._turned(name) or name == "W_E":
            return raw, dtype
        form = FORMATS[dtype]
        if form.weights > 1:
            return None
        rows = np.ascontiguousarray(raw.reshape(raw.shape[0], -1, form.n_bytes).swapaxes(0, 1))
        return rows.reshape(rows.shape[0], -1), dtype

    def read_all(
        self,
        names: Iterable[str] | None = None,
        threads: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Several parameters (all of them, unless named) at once; `progress(done, of)` counts weights.

        The dequantised ones share one allocation: the system then gives large pages, which is several times as fast
        as asking for each array's own.
        """
        from concurrent.futures import ThreadPoolExecutor  # 10 ms that opening alone need not pay

        chosen = list(self.names if names is None else names)
        packed = [name for name in chosen if self.dtype(name) != "F32"]
        sizes = [self._declared[name].size for name in packed]
        arena = np.empty(sum(sizes), np.float32)
        starts = np.cumsum([0, *sizes]).tolist()
        outs = {name: arena[a:b] for name, a, b in zip(packed, starts, starts[1:], strict=False)}
        total, done = sum(self._declared[name].size for name in chosen), 0
        arrays: dict[str, np.ndarray] = {}
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for name, array in zip(chosen, pool.map(lambda n: self.read(n, outs.get(n)), chosen), strict=True):
                arrays[name] = array
                done += self._declared[name].size
                if progress is not None:
                    progress(done, total)
        return arrays

    # ---- inside ----

    def _bad(self, what: str) -> BadCheckpoint:
        return BadCheckpoint(f"{self.source.name} {what}; fetch the model again, or check its configuration.")

    def _place(self, name: str) -> Place:
        if name not in self._places:
            raise BadCheckpoint(f"{self.source.name} has no parameter {short(name)}; `names` lists those it has.")
        return self._places[name]

    def _span(self, part: int) -> tuple[int, int]:
        config = self.config
        queries, keys = config.n_head * config.d_head, config.n_kv_head * config.d_head
        return ((0, queries), (queries, queries + keys), (queries + keys, queries + 2 * keys))[part]

    def _turned(self, name: str) -> bool:
        leaf = name.rsplit(".", 1)[-1]
        return leaf.startswith("W_") and leaf not in ("W_E", "W_pos") and not self._places[name].in_out

    def _check(self, found: Mapping[str, Place | str]) -> dict[str, Place]:
        """All there, in the declared shapes: told now, in the file's own words, not in the middle of a pass."""
        places: dict[str, Place] = {}
        for name, place in found.items():
            if isinstance(place, str):
                raise self._bad(f'lacks the tensor "{short(place)}"')
            expected, actual = self._file_shape(self._declared[name], place), self._store.tensors[place.tensor].shape
            if actual != expected:
                raise self._bad(
                    f'has "{short(place.tensor)}" in the shape {list(actual)}, and its configuration asks for'
                    f" {list(expected)}"
                )
            dtype = self._store.tensors[place.tensor].dtype
            if dtype not in FORMATS:
                raise self._bad(f'stores "{short(place.tensor)}" as {dtype}; Cutaway reads {", ".join(FORMATS)}')
            if place.part is not None and (len(expected) == 1 or place.in_out) and FORMATS[dtype].weights > 1:
                raise self._bad(f'packs "{short(place.tensor)}" as {dtype}, across the parts that it consists of')
            places[name] = place
        return places

    def _file_shape(self, parameter: Parameter, place: Place) -> tuple[int, ...]:
        shape = parameter.stored_shape
        if place.part is not None:
            shape = (*shape[:-1], self._span(2)[1])
        leaf = parameter.name.rsplit(".", 1)[-1]
        turned = leaf.startswith("W_") and leaf not in ("W_E", "W_pos") and not place.in_out
        return tuple(reversed(shape)) if turned else shape

    @staticmethod
    def _float32(raw: np.ndarray, dtype: str, out: Floats | None) -> np.ndarray:
        if dtype == "F32":
            # old safetensors files may lie unaligned, which no fast product can take
            return np.require(raw.view("<f4"), np.float32, "A")
        return dequantize(raw, dtype, out)


def half_split(rows: np.ndarray, n_head: int) -> np.ndarray:
    """Rows of Q or K from RoPE's adjacent pairs (0,1)(2,3)… to its halves (0,d/2)(1,d/2+1)…; a copy.

    GGUF keeps Llama's in pairs, as the paper turns them (Su et al. 2021, eq. 34); Cutaway computes in halves, as
    transformers does. Row 2j+h of a head goes to row h·d/2+j.
    """
    return rows.reshape(n_head, -1, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)
