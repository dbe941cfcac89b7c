"""A model's weights, read when they are first needed: `Parameters` over any `Checkpoint`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadCheckpoint, BadNumbers
from cutaway.kernels import native
from cutaway.kernels.products import Table
from cutaway.sites.parameters import Parameter, declared_parameters, public_view


class Checkpoint(Protocol):
    """Opened weights: cheap to open, each parameter read (and dequantised) only when asked for."""

    config: ModelConfig

    def read(self, name: str) -> np.ndarray:
        """The parameter `name`, float32, in its *stored* shape (see `sites.parameters`), by canonical name.

        May be a read-only view of the mapped file. Q and K are in the half-split rotary layout whatever the
        file's. Raises `BadCheckpoint` when it is missing, damaged or of another shape.
        """
        ...

    def dtype(self, name: str) -> str:
        """How the file stores it: "F32", "F16", "BF16", "Q4_1", …"""
        ...


Rows = Callable[[str], "tuple[np.ndarray, str] | None"]

# Arrays that were dequantised to be looked at are kept up to this many bytes.
REMEMBERED_BYTES = 64 << 20


class Parameters(Mapping[str, np.ndarray]):
    """Canonical name -> float32 array in its public shape (a view), and `block(i)` for the equations.

    Reading is lazy and safe from several threads. Products take `stored(name)`: with the native kernels a packed
    `Matrix` on the file's own bytes (`rows`), without them a float32 array, read once and kept. A tied model's `W_U`
    is its `W_E`, transposed.
    """

    def __init__(
        self,
        config: ModelConfig,
        read: Callable[[str], np.ndarray],
        read_all: Callable[[], Mapping[str, np.ndarray]] | None = None,
        rows: Rows | None = None,
    ) -> None:
        self.config = config
        self.declared: dict[str, Parameter] = declared_parameters(config)
        self._read = read
        self._read_all = read_all
        self._rows = rows if native.MODULE is not None else None
        self._arrays: dict[str, Any] = {}
        self._decoded: OrderedDict[str, np.ndarray] = OrderedDict()
        self._stored: dict[str, Any] = {}
        self._namespaces: dict[str, SimpleNamespace] = {}
        self._lock = threading.RLock()

    def stored(self, name: str) -> Any:
        """What equations compute with: matrices as [in, out], packed where they can be."""
        found = self._stored.get(name)
        if found is not None:
            return found
        if name == "W_U" and self.config.tied:
            return self.stored("W_E").T
        if name not in self.declared:
            raise KeyError(name)
        with self._lock:
            if name not in self._stored:
                self._stored[name] = self._packed(name) if _is_matrix(name) else self.array(name)
        return self._stored[name]

    def _packed(self, name: str) -> Any:
        if native.MODULE is None:
            return self.array(name)
        found = None if self._rows is None else self._rows(name)
        if found is None:
            array = self.array(name)
            if not native.takes(array):  # arrays of other libraries flow through the equations as they are
                return array
            table = Table.of(array if name == "W_E" else array.T)
            if self._rows is not None:
                self._decoded.pop(name, None)  # the table is a copy: one of the two is enough
        else:
            table = Table(*found)
            expected = self.declared[name].stored_shape
            if table.shape != (expected if name == "W_E" else expected[::-1]):
                raise self._misshapen(name, table.shape)
        return table if name == "W_E" else table.T

    def array(self, name: str) -> Any:
        """The parameter as a float32 array in its stored shape: matrices as [in, out]."""
        if name == "W_U" and self.config.tied:
            return self.array("W_E").T
        with self._lock:
            if name in self._arrays:
                return self._arrays[name]
            if name in self._decoded:
                self._decoded.move_to_end(name)
                return self._decoded[name]
            if name not in self.declared:
                raise KeyError(name)
            array = self._read(name)
            if tuple(array.shape) != self.declared[name].stored_shape:
                raise self._misshapen(name, tuple(array.shape))
            if self._rows is None or not _is_matrix(name):
                self._arrays[name] = array
            elif array.nbytes <= REMEMBERED_BYTES // 4:
                self._decoded[name] = array
                while sum(each.nbytes for each in self._decoded.values()) > REMEMBERED_BYTES:
                    self._decoded.popitem(last=False)
        return array

    def _misshapen(self, name: str, shape: tuple[int, ...]) -> BadCheckpoint:
        expected = self.declared[name].stored_shape
        return BadCheckpoint(f"{name} has the shape {list(shape)}; the configuration asks for {list(expected)}.")

    def read_all(self) -> None:
        """Without the native kernels: dequantises what is still unread, all at once, which is faster than one after
        another. With them weights stay packed, and there is nothing to do."""
        if self._read_all is None or self._rows is not None:
            return
        with self._lock:
            if self._read_all is not None:
                self._arrays = {**self._read_all(), **self._arrays}
                self._read_all = None

    def block(self, i: int) -> SimpleNamespace:
        """The parameters of block `i` for its equations: `w.ln1.w`, `w.attn.W_Q`, `w.mlp.b_in` (None if absent)."""
        found = self._namespaces.get(f"blocks.{i}")
        if found is None:
            parts = {part: self.namespace(f"blocks.{i}.{part}") for part in ("ln1", "attn", "ln2", "mlp")}
            found = self._namespaces[f"blocks.{i}"] = SimpleNamespace(**parts)
        return found

    def namespace(self, prefix: str) -> SimpleNamespace:
        """The parameters under `prefix` ("ln_final", "blocks.3.attn") as attributes; absent biases are None."""
        found = self._namespaces.get(prefix)
        if found is None:
            found = SimpleNamespace(b=None, b_Q=None, b_K=None, b_V=None, b_O=None, b_in=None, b_out=None)
            for name in self.declared:
                if name.startswith(prefix + "."):
                    setattr(found, name[len(prefix) + 1 :].replace(".", "_"), self.stored(name))
            self._namespaces[prefix] = found
        return found

    def __getitem__(self, name: str) -> Any:
        if name == "W_U" and self.config.tied:
            return self.array("W_U")
        return public_view(self.declared[name], self.array(name))

    def __contains__(self, name: object) -> bool:
        return name in self.declared or (name == "W_U" and self.config.tied)

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def refuse_non_finite(self) -> None:
        """Names the first tensor that holds NaN or infinity. Reads everything: only for when logits went wrong."""
        for name in self.declared:
            array = self.array(name)
            wrong = int(array.size - np.isfinite(array).sum())
            if wrong:
                raise BadNumbers(
                    f"{name} holds {wrong} values that are not finite numbers, so nothing computed from it"
                    " means anything; fetch or convert the weights again."
                )


def _is_matrix(name: str) -> bool:
    leaf = name.rsplit(".", 1)[-1]
    return leaf.startswith("W_") and leaf != "W_pos"
