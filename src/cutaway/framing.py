"""Named arrays in one buffer: the framing of safetensors, for saved traces and the wire.

    [8 bytes: N, little-endian] [N bytes: JSON header, padded with spaces] [the arrays' bytes, one after another]

Written are F32 and I32 alone, and the header is padded so that the arrays start at a multiple of 8: a reader in
any language can lay a typed view over them without a copy. Read are the headers of any safetensors file; nothing
in a header is believed before it has been checked against the file's own size.

Source: the format's description in huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cutaway.errors import BadCheckpoint, BadInput, CutawayError

Buffer = Any  # bytes, bytearray, memoryview, mmap or a uint8 array: whatever memoryview() takes

ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}

# 100,000 tensors with long names need 15 MB; more than this only costs memory to parse.
LONGEST_HEADER = 32 * 2**20
MOST_AXES = 16
METADATA = "__metadata__"


@dataclass(frozen=True)
class Entry:
    """One array's place: bytes `start` to `stop` of the whole buffer (not of its data part)."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    tensors: dict[str, Entry]
    metadata: dict[str, str]
    data_start: int


def pack(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """The whole file as bytes, arrays in the order given. Raises `BadInput` for a dtype other than F32 and I32."""
    return b"".join(pieces(tensors, metadata))


def write(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """`pack` into a file, all or nothing: a file beside it is filled, flushed to the disk and then renamed.

    Raises `CutawayError` when the disk is full or the folder cannot be written; then nothing is left behind.
    """
    path = Path(path)
    if not path.name or "\0" in str(path):
        raise CutawayError(f"{str(path)!r} cannot be the name of a file; give one in a folder that is there.")
    parts = pieces(tensors, metadata)
    beside = path.with_name(f".{os.urandom(8).hex()}.part")  # however long the name is
    try:
        # not tempfile: its files are private (0600), and the rename would keep that
        with open(
            os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666), "wb"
        ) as f:
            for part in parts:
                f.write(part)
            f.flush()
            os.fsync(f.fileno())
        os.replace(beside, path)
    except OSError as err:
        raise CutawayError(
            f"could not write {path}: {err.strerror or err}; nothing was left behind, so free some space or choose"
            " another place and save again."
        ) from err
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def pieces(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> list[bytes | memoryview]:
    """The file in order: its header, and each array where it lies in memory. Raises `BadInput`, as `pack` does."""
    header: dict[str, Any] = {}
    arrays = []
    if metadata:
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()):
            raise BadInput("the metadata of a saved file must be text by text; turn other values into JSON first.")
        header[METADATA] = dict(metadata)
    at = 0
    for name, array in tensors.items():
        if name == METADATA:
            raise BadInput(f'an array cannot be called "{METADATA}"; the format keeps that name for itself.')
        dtype = {("f", 4): "F32", ("i", 4): "I32"}.get((array.dtype.kind, array.dtype.itemsize))
        if dtype is None:
            raise BadInput(f"{name} is {array.dtype}; only float32 and int32 are saved, so convert it first.")
        arrays.append(np.asarray(array, dtype="<f4" if dtype == "F32" else "<i4", order="C"))
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise BadInput(
            f"the header of {len(arrays)} arrays is longer than {LONGEST_HEADER} bytes; save fewer at once."
        )

    lying = [memoryview(array.reshape(-1).view(np.uint8).data) for array in arrays]
    return [struct.pack("<Q", len(text)) + text, *lying]


def read_header(buffer: Buffer, source: str) -> Header:
    """The header, checked in full: sizes, overlaps, holes, duplicates, dtypes. `source` names the file in errors.

    Raises `BadCheckpoint`. Costs no more than the header's own length whatever it claims.
    """
    whole = memoryview(buffer)
    whole = whole if whole.format == "B" and whole.ndim == 1 else whole.cast("B")
    size = len(whole)
    if size < 8:
        raise _bad(source, f"has {size} bytes; a safetensors file begins with 8 that hold its header's length")
    (length,) = struct.unpack_from("<Q", whole)
    if length > LONGEST_HEADER:
        start = bytes(whole[:8])
        raise _bad(source, f"begins with {start!r}, a header of {length} bytes, so this is no safetensors file")
    if length > size - 8:
        raise _bad(source, f"is cut short: its header should have {length} bytes, and {size - 8} follow")
    data_start = 8 + length
    fields = _parse(bytes(whole[8:data_start]), source)
    metadata = fields.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(source, f"has a {METADATA} that is not text by text")
    tensors = {name: _entry(name, value, data_start, source) for name, value in fields.items()}
    _refuse_gaps(tensors, data_start, size, source)
    return Header(tensors, metadata, data_start)


def unpack(buffer: Buffer, source: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays, as views of the buffer, and the metadata. Raises `BadCheckpoint` as `read_header` does, and for
    a dtype other than F32 and I32."""
    header = read_header(buffer, source)
    arrays = {}
    for name, entry in header.tensors.items():
        if entry.dtype not in ("F32", "I32"):
            raise _bad(source, f"stores {name} as {entry.dtype}; what Cutaway saves is F32 and I32")
        dtype = np.dtype("<f4" if entry.dtype == "F32" else "<i4")
        flat = np.frombuffer(buffer, dtype, count=math.prod(entry.shape), offset=entry.start)
        arrays[name] = flat.reshape(entry.shape)
    return arrays, header.metadata


def _bad(source: str, what: str) -> BadCheckpoint:
    return BadCheckpoint(f"{source} {what}; fetch it or save it again.")


def _parse(text: bytes, source: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in pairs:
            if name in fields:
                raise _bad(source, f'names "{_short(name)}" twice in its header')
            fields[name] = value
        return fields

    try:
        fields = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, or a number with thousands of digits
        raise _bad(source, "has a header that is not JSON, so it is damaged or no safetensors file") from None
    if not isinstance(fields, dict):
        raise _bad(source, "has a header that is not a JSON object")
    return fields


def _entry(name: str, value: Any, data_start: int, source: str) -> Entry:
    shown = _short(name)
    if not isinstance(value, dict):
        raise _bad(source, f'describes "{shown}" by something that is not a JSON object')
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _bad(source, f'stores "{shown}" as {_short(repr(dtype))}, which is no dtype that Cutaway knows')
    if not isinstance(shape, list) or not all(_count(n) for n in shape):
        raise _bad(source, f'gives "{shown}" a shape that is not a list of whole numbers')
    if len(shape) > MOST_AXES:
        raise _bad(source, f'gives "{shown}" {len(shape)} dimensions, and no tensor has more than {MOST_AXES}')
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_count(n) for n in offsets):
        raise _bad(source, f'gives "{shown}" data_offsets that are not two whole numbers')
    start, stop = offsets
    due = math.prod(shape) * ITEM_BYTES[dtype]
    if stop - start != due:
        raise _bad(source, f'gives "{shown}" {stop - start} bytes, and {dtype} {_short(str(shape))} needs {due}')
    return Entry(dtype, tuple(shape), data_start + start, data_start + stop)


def _count(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63


def _refuse_gaps(tensors: dict[str, Entry], data_start: int, size: int, source: str) -> None:
    """Every byte of the data belongs to one array: no overlap, no hole, nothing past the end."""
    at = data_start
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.stop > size:
            raise _bad(
                source,
                f'is cut short: "{_short(name)}" should end at byte {entry.stop}, and the file has {size}',
            )
        if entry.start != at:
            what = "overlaps the tensor before it" if entry.start < at else "leaves a hole before it"
            raise _bad(source, f'is damaged: "{_short(name)}" {what}')
        at = entry.stop
    if at != size:
        raise _bad(source, f"has {size - at} bytes after its last tensor that its header does not explain")


def _short(text: str) -> str:
    """A hostile name may be megabytes long, and a message is one line."""
    text = "".join(c if c.isprintable() else "?" for c in text[:80])
    return text if len(text) < 80 else text[:77] + "..."
