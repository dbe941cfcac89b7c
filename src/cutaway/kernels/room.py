"""Room for arrays that kernels write; that of large ones is kept for a moment when they are gone.

Memory that the system hands out anew must be cleared page by page, and in a virtual machine fetched from the host:
for a recorded pass over 512 tokens (1.4 GB) that takes half as long as the pass, or several times as long. So what
large results lay in is kept for some seconds, for the next pass; beyond a bound, and after that time, the system has
it back. An array is never handed out over another that is alive: its memory comes back when nothing refers to it.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

LARGE = 4 << 20  # bytes: below that the allocator's own memory is as fast
KEPT_FOR = 5.0  # seconds
MOST_KEPT = 3 << 30  # bytes, and no more than an eighth of the machine's memory
_PAGE = 2 << 20  # a large page
_LINE = 16  # floats in a cache line, on which every array begins


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """As `np.empty` for float32 (what is in it is anything), beginning on a cache line: kernels that read it again
    and again take a fifth longer where each of their loads lies across two."""
    size = math.prod(shape)
    return _small(shape, size) if 4 * size < LARGE else ROOMS.take(4 * size).reshape(shape)


def together(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Several at once, in one piece of memory where they are large together: it is free again when all are gone."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if 4 * sum(sizes.values()) < LARGE:
        return {name: _small(shape, sizes[name]) for name, shape in shapes.items()}
    flat, at, found = ROOMS.take(4 * sum(_lines(size) for size in sizes.values())), 0, {}
    for name, shape in shapes.items():
        found[name] = flat[at : at + sizes[name]].reshape(shape)
        at += _lines(sizes[name])
    return found


def _small(shape: tuple[int, ...], size: int) -> np.ndarray:
    flat = np.empty(size + _LINE, np.float32)
    at = -(flat.ctypes.data // 4) % _LINE
    return flat[at : at + size].reshape(shape)


def _lines(size: int) -> int:
    return -(-size // _LINE) * _LINE


class _Lent:
    """The owner of the memory of one `take`: arrays over it refer to this; when it goes, the memory comes back."""

    __slots__ = ("__array_interface__", "_back", "_memory")

    def __init__(self, memory: mmap.mmap, address: int, n_bytes: int, back: Callable[[mmap.mmap], None]) -> None:
        self._memory = memory
        self._back = back
        self.__array_interface__ = {
            "shape": (n_bytes // 4,),
            "typestr": "<f4",
            "data": (address, False),
            "version": 3,
        }

    def __del__(self) -> None:
        self._back(self._memory)


class Rooms:
    """Memory that is lent to arrays, and what came back.

    It comes back in a destructor, which may run anywhere, also within a method of this class: so that takes no lock,
    and what it calls is atomic.
    """

    def __init__(self, kept_for: float = KEPT_FOR, most_kept: int = MOST_KEPT) -> None:
        self.kept_for = kept_for
        self.most_kept = min(most_kept, _machine_memory() // 8)
        self._back: deque[tuple[float, mmap.mmap]] = deque()
        self._free: list[tuple[float, mmap.mmap]] = []  # since when, oldest first
        self._lock = threading.Lock()
        self._came_back: SimpleQueue[None] = SimpleQueue()
        self._keeper: threading.Thread | None = None
        self._process = os.getpid()

    def take(self, n_bytes: int) -> np.ndarray:
        """A flat float32 array with anything in it, beginning on a cache line."""
        with self._lock:
            self._collect()
            memory = self._fitting(n_bytes)
            if self._keeper is None or self._process != os.getpid():  # a fork takes no threads along
                self._process = os.getpid()
                self._keeper = threading.Thread(target=self._keep, name="cutaway-rooms", daemon=True)
                self._keeper.start()
        if memory is None:
            memory = mmap.mmap(-1, -(-n_bytes // _PAGE) * _PAGE)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system without large pages
                    memory.madvise(mmap.MADV_HUGEPAGE)
        address = np.frombuffer(memory, np.uint8).ctypes.data
        return np.asarray(_Lent(memory, address, n_bytes, self._return))

    @property
    def kept(self) -> int:
        """Bytes that are here, lent to nobody."""
        with self._lock:
            self._collect()
            return sum(len(memory) for _, memory in self._free)

    def _return(self, memory: mmap.mmap) -> None:
        self._back.append((time.monotonic(), memory))
        self._came_back.put(None)

    def _collect(self) -> None:
        """Takes in what came back, and lets go of the oldest beyond the bound and of all that waited too long."""
        with suppress(IndexError):
            while True:
                self._free.append(self._back.popleft())
        until = time.monotonic() - self.kept_for
        total = sum(len(memory) for _, memory in self._free)
        while self._free and (total > self.most_kept or self._free[0][0] <= until):
            total -= len(self._free.pop(0)[1])  # unmapped with its last reference

    def _fitting(self, n_bytes: int) -> mmap.mmap | None:
        """The smallest that holds so much and wastes less than a quarter; of equal ones the latest, which is the
        likeliest to be in the caches."""
        best = -1
        for at, (_, memory) in enumerate(self._free):
            fits = n_bytes <= len(memory) <= n_bytes + n_bytes // 4 + _PAGE
            if fits and (best < 0 or len(memory) <= len(self._free[best][1])):
                best = at
        return None if best < 0 else self._free.pop(best)[1]

    def _keep(self) -> None:
        wait: float | None = None
        while True:
            with suppress(Empty):
                self._came_back.get(timeout=wait)
            with self._lock:
                self._collect()
                wait = max(0.05, self._free[0][0] + self.kept_for - time.monotonic()) if self._free else None


def _machine_memory() -> int:
    with suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 8 << 30


ROOMS: Any = Rooms()
