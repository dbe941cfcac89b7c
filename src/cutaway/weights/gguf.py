"""The header of a `.gguf` file, memory-mapped: metadata and the place of every tensor.

    "GGUF" version tensor_count key_count
    key_count    x  key type value          (strings: 8 bytes of length, then UTF-8)
    tensor_count x  name n_dims dims type offset
    padding to `general.alignment`, then the tensors' bytes

Opening costs milliseconds: long arrays (the vocabulary, the merges) are stepped over, and decoded only when asked
for. Every count, length and offset is held against the file's own size before anything is allocated for it.

Source: docs/gguf.md in ggml-org/ggml (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import FORMATS
from cutaway.weights.refusals import damaged, readable, refuse_other_kind, short

# ggml's numbers for how a tensor is stored. Those without a decoder are listed so that a refusal can name them.
_GGML_TYPES = """
    F32 F16 Q4_0 Q4_1 Q4_2 Q4_3 Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S
    IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 Q4_0_4_4 Q4_0_4_8 Q4_0_8_8 TQ1_0 TQ2_0 IQ4_NL_4_4
    IQ4_NL_4_8 IQ4_NL_8_8 MXFP4 NVFP4 Q1_0
"""
GGML_TYPES: Mapping[int, str] = dict(enumerate(_GGML_TYPES.split()))

_SCALARS: Mapping[int, str] = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9

MOST_ENTRIES = 4 * 2**20  # the largest vocabularies have 0.3 million pieces and 0.6 million merges
MOST_AXES = 4
LONGEST_KEY = 65535
_LONGEST_TENSOR_NAME = 1024
_WINDOW = 1 << 17


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `shape` as NumPy has it (the file lists the innermost axis first), bytes `start` to `stop`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Metadata(Mapping[str, Any]):
    """Key -> value: numbers, truth values and text as Python's; arrays as lists, decoded when first asked for.

    A piece in a list of strings that is not UTF-8 stays `bytes` (a vocabulary may hold parts of characters).
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._late: dict[str, Callable[[], list[Any]]] = {}
        self._lengths: dict[str, int] = {}

    def length(self, key: str) -> int | None:
        """How many entries an array has, without decoding it; None when there is no such array."""
        return self._lengths.get(key)

    def __getitem__(self, key: str) -> Any:
        late = self._late.get(key)
        if late is not None:  # two threads may both decode it, to the same list
            self._values[key] = late()
            self._late.pop(key, None)
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class GGUFFile:
    """An opened `.gguf`: `version`, `metadata`, `tensors` by name, and `raw(name)`, a tensor's bytes as they lie.

    Raises `BadCheckpoint` when the file is of another kind, truncated, damaged, or stored in a way that Cutaway does
    not read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        refuse_other_kind(self.path, b"GGUF", "GGUF")
        with readable(self.path), open(self.path, "rb") as file:
            self.size = file.seek(0, 2)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)
        header = _Header(self._map, self._bytes, self.path.name)
        self.version = header.version
        self.metadata: Metadata = header.metadata
        self.tensors: Mapping[str, TensorInfo] = header.tensors
        self.data_start = header.data_start

    def raw(self, name: str) -> np.ndarray:
        """The tensor's bytes, a read-only uint8 view [rows, bytes of a row] of the mapped file."""
        info = self.tensors[name]
        rows = math.prod(info.shape[:-1])
        return self._bytes[info.start : info.stop].reshape(rows, -1)


class _Header:
    """Reads from front to back; `at` is where the next field begins."""

    def __init__(self, data: mmap.mmap, view: np.ndarray, source: str) -> None:
        self.data, self.view, self.source, self.size = data, view, source, len(data)
        self.at = 4
        self.version = self._version()
        n_tensors, n_keys = self._unpack("<QQ", "the counts of tensors and keys")
        # 12 bytes for the shortest key and value, 24 for the shortest tensor
        if n_keys * 12 + n_tensors * 24 > self.size - self.at:
            raise self.bad(f"claims {n_keys} keys and {n_tensors} tensors, more than its {self.size} bytes can hold")
        self.metadata = Metadata()
        for _ in range(n_keys):
            self._key()
        self.alignment = self._alignment()
        places = [self._tensor() for _ in range(n_tensors)]
        self.data_start = self.at + -self.at % self.alignment
        self.tensors = self._place(places)

    def bad(self, what: str) -> BadCheckpoint:
        return damaged(self.source, what)

    def _version(self) -> int:
        (version,) = self._unpack("<I", "the version")
        if version and version & 0xFFFF == 0:
            raise BadCheckpoint(
                f"{self.source} is a big-endian GGUF; Cutaway reads little-endian ones, so fetch that."
            )
        if version not in (2, 3):
            raise BadCheckpoint(
                f"{self.source} is a GGUF of version {version}; Cutaway reads 2 and 3, so convert or fetch it anew."
            )
        return int(version)

    def _unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        stop = self.at + struct.calcsize(layout)
        if stop > self.size:
            raise self.bad(f"ends at byte {self.size}, inside {what}")
        values = struct.unpack_from(layout, self.data, self.at)
        self.at = stop
        return values

    def _string(self, what: str, longest: int) -> bytes:
        (length,) = self._unpack("<Q", what)
        if length > longest or self.at + length > self.size:
            raise self.bad(f"gives {what} a length of {length} bytes at byte {self.at - 8}")
        self.at += length
        return self.data[self.at - length : self.at]

    def _name(self, what: str, longest: int) -> str:
        raw = self._string(what, longest)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.bad(f"has {what} that is not UTF-8, {short(repr(raw))}") from None

    def _key(self) -> None:
        key = self._name("a key", LONGEST_KEY)
        if key in self.metadata:
            raise self.bad(f'has the key "{short(key)}" twice')
        (kind,) = self._unpack("<I", f'the key "{short(key)}"')
        if kind == _ARRAY:
            self.metadata._late[key] = self._array(key)
            self.metadata._values[key] = None  # holds its place in the order
        elif kind == _STRING:
            # a name in Latin-1 is no reason to refuse the weights
            text = self._string(f'the value of "{short(key)}"', self.size).decode(errors="replace")
            self.metadata._values[key] = text
        else:
            (self.metadata._values[key],) = self._unpack("<" + self._scalar(kind, key), f'the key "{short(key)}"')

    def _scalar(self, kind: int, key: str) -> str:
        if kind not in _SCALARS:
            raise self.bad(f'gives the key "{short(key)}" a value of the unknown type {kind}')
        return _SCALARS[kind]

    def _array(self, key: str) -> Callable[[], list[Any]]:
        kind, count = self._unpack("<IQ", f'the array "{short(key)}"')
        self.metadata._lengths[key] = count
        if kind == _ARRAY:
            raise self.bad(f'nests an array inside the array "{short(key)}", which Cutaway does not read')
        if kind == _STRING:
            return self._strings(key, count)
        code = self._scalar(kind, key)
        dtype = np.dtype("<" + code) if code != "?" else np.dtype(bool)
        start, n_bytes = self.at, count * dtype.itemsize
        if n_bytes > self.size - start or count > MOST_ENTRIES:
            raise self.bad(f'gives the array "{short(key)}" {count} entries, more than it can have')
        self.at += n_bytes
        view = self.view[start : start + n_bytes]
        return lambda: view.view(dtype).tolist()

    def _strings(self, key: str, count: int) -> Callable[[], list[str | bytes]]:
        if count > MOST_ENTRIES or count * 8 > self.size - self.at:
            raise self.bad(f'gives the array "{short(key)}" {count} strings, more than it can have')
        heads = walk_strings(self.data, self.view, self.at, count)
        if heads is None:
            raise self.bad(f'is cut short inside the array "{short(key)}", or a length in it is wrong')
        self.at = int(heads[-1])
        data = self.data

        def decode() -> list[str | bytes]:
            ends = heads.tolist()
            block = data[ends[0] : ends[-1]]  # one copy of bytes: slicing bytes is faster than slicing a map
            first = ends[0]
            together = _split(block, heads - first)
            if together is not None:
                return together
            return [_text(block[head + 8 - first : end - first]) for head, end in pairwise(ends)]

        return decode

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", 32)
        power_of_two = isinstance(alignment, int) and alignment > 0 and alignment & (alignment - 1) == 0
        if isinstance(alignment, bool) or not power_of_two or not 8 <= alignment <= 2**20:
            raise self.bad(f"has the alignment {short(repr(alignment))}; a power of two from 8 up is due")
        return int(alignment)

    def _tensor(self) -> tuple[str, str, tuple[int, ...], int, int]:
        name = self._name("a tensor's name", _LONGEST_TENSOR_NAME)
        shown = f'the tensor "{short(name)}"'
        (n_dims,) = self._unpack("<I", shown)
        if not 1 <= n_dims <= MOST_AXES:
            raise self.bad(f"gives {shown} {n_dims} dimensions; 1 to {MOST_AXES} are possible")
        dims = self._unpack(f"<{n_dims}Q", shown)
        kind, offset = self._unpack("<IQ", shown)
        dtype = GGML_TYPES.get(kind)
        if dtype is None:
            raise self.bad(f"stores {shown} in the unknown way {kind}")
        if dtype not in FORMATS:
            raise BadCheckpoint(
                f"{self.source} stores {shown} as {dtype}, which Cutaway does not decode; take the same model as"
                " Q8_0, Q4_K_M or another of " + ", ".join(FORMATS) + "."
            )
        form = FORMATS[dtype]
        if min(dims) < 1 or math.prod(dims) >= 2**60:
            raise self.bad(f"gives {shown} the impossible shape {list(reversed(dims))}")
        if dims[0] % form.weights:
            raise self.bad(f"gives {shown} rows of {dims[0]}, and {dtype} packs {form.weights} together")
        n_bytes = math.prod(dims) // form.weights * form.n_bytes
        return name, dtype, tuple(reversed(dims)), offset, n_bytes

    def _place(self, places: list[tuple[str, str, tuple[int, ...], int, int]]) -> dict[str, TensorInfo]:
        """Within the file, aligned, and none over another."""
        tensors: dict[str, TensorInfo] = {}
        for name, dtype, shape, offset, n_bytes in places:
            start = self.data_start + offset
            if name in tensors:
                raise self.bad(f'has the tensor "{short(name)}" twice')
            if offset % self.alignment:
                raise self.bad(f'puts the tensor "{short(name)}" at {offset}, not a multiple of {self.alignment}')
            if start + n_bytes > self.size:
                raise self.bad(
                    f'is cut short: the tensor "{short(name)}" should end at byte {start + n_bytes}, and the file has'
                    f" {self.size}"
                )
            tensors[name] = TensorInfo(name, dtype, shape, start, start + n_bytes)
        end = 0
        for tensor in sorted(tensors.values(), key=lambda each: each.start):
            if tensor.start < end:
                raise self.bad(f'lays the tensor "{short(tensor.name)}" over another')
            end = tensor.stop
        return tensors


def _split(block: bytes, heads: np.ndarray) -> list[str | bytes] | None:
    """All strings of an array in one decoding and one split, a tenth of the time of one by one: the eight bytes
    before each become one that is zero. None where a string holds a zero of its own, or is not UTF-8."""
    flat = np.frombuffer(block, np.uint8).copy()
    keep = np.ones(len(flat), np.bool_)
    starts = heads[:-1]
    for i in range(1, 8):
        keep[starts + i] = False
    flat[starts] = 0
    try:
        strings: list[str | bytes] = list(flat[keep].tobytes().decode().split("\0"))
    except UnicodeDecodeError:
        return None
    return strings[1:] if len(strings) == len(heads) else None


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def walk_strings(data: mmap.mmap | bytes, view: np.ndarray, at: int, count: int) -> np.ndarray | None:
    """Where each of `count` strings begins (its 8 bytes of length), and where the last ends: int64 [count + 1].

    None when one reaches past the end. A string's place is known only from the one before it, so this is a walk;
    but nearly all lengths are under 256, and their 8 bytes (one, then seven zeros) can be searched for all at
    once. A found place counts only if it is exactly where the string before it ends; where that fails (a long string,
    an empty one), single steps take over for a while.
    """
    size = len(view)
    heads: list[np.ndarray] = []
    done, patience = 0, 64
    read = struct.Struct("<Q").unpack_from
    while done < count:
        window = view[at : at + _WINDOW]
        zero = window == 0
        two = zero[1:-1] & zero[2:]
        four = two[:-2] & two[2:]
        seven = four[:-3] & four[3:]  # seven[p]: bytes p+1 … p+7 are zero
        found = np.flatnonzero(seven)
        linked = 0
        if len(found) and found[0] == 0:
            ends = found + 8 + window[found]
            broken = np.flatnonzero(ends[:-1] != found[1:])
            linked = min(int(broken[0]) + 1 if len(broken) else len(found), count - done)
            heads.append(found[:linked] + at)
            at += int(ends[linked - 1])
            done += linked
        patience = 64 if linked > 64 else min(patience * 2, 1 << 16)
        steps = []
        for _ in range(min(patience, count - done) if linked <= 64 else min(1, count - done)):
            if at + 8 > size:
                return None
            steps.append(at)
            at += 8 + read(data, at)[0]
        heads.append(np.array(steps, np.int64))
        done += len(steps)
        if at > size:
            return None
    return np.concatenate([*heads, np.array([at], np.int64)])
