"""A model's weights, read when they are first needed: `Parameters` over any `Checkpoint`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadCheckpoint, BadNumbers
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


class Parameters(Mapping[str, np.ndarray]):
    """Canonical name -> array in its public shape (a view), and `block(i)` for the equations.

    Reading is lazy and safe from several threads; each array is read once and kept. A tied model's `W_U` is its
    `W_E`, transposed.
    """

    def __init__(
        self,
        config: ModelConfig,
        read: Callable[[str], np.ndarray],
        read_all: Callable[[], Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        self.config = config
        self._read_all = read_all
        self.declared: dict[str, Parameter] = declared_parameters(config)
        self._read = read
        self._stored: dict[str, Any] = {}
        self._namespaces: dict[str, SimpleNamespace] = {}
        self._lock = threading.RLock()

    def stored(self, name: str) -> Any:
        """The array that products use: matrices as [in, out]."""
        found = self._stored.get(name)
        if found is not None:
            return found
        if name == "W_U" and self.config.tied:
            return self.stored("W_E").T
        if name not in self.declared:
            raise KeyError(name)
        with self._lock:
            if name not in self._stored:
                array = self._read(name)
                expected = self.declared[name].stored_shape
                if tuple(array.shape) != expected:
                    raise BadCheckpoint(
                        f"{name} has the shape {list(array.shape)}; the configuration asks for {list(expected)}."
                    )
                self._stored[name] = array
        return self._stored[name]

    def read_all(self) -> None:
        """Reads what is still unread, all at once: faster than one after another, before a whole pass."""
        if self._read_all is None:
            return
        with self._lock:
            if self._read_all is not None:
                self._stored = {**self._read_all(), **self._stored}
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
            return self.stored("W_U")
        return public_view(self.declared[name], self.stored(name))

    def __contains__(self, name: object) -> bool:
        return name in self.declared or (name == "W_U" and self.config.tied)

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def refuse_non_finite(self) -> None:
        """Names the first tensor that holds NaN or infinity. Reads everything: only for when logits went wrong."""
        for name in self.declared:
            array = self.stored(name)
            wrong = int(array.size - np.isfinite(array).sum())
            if wrong:
                raise BadNumbers(
                    f"{name} holds {wrong} values that are not finite numbers, so nothing computed from it"
                    " means anything; fetch or convert the weights again."
                )
