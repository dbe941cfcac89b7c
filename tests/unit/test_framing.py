"""Safetensors framing: what is written is read back by us and by the reference, and lies are refused."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from cutaway import framing
from cutaway.errors import BadCheckpoint, BadInput, CutawayError


def some_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "manifest": np.arange(5, dtype=np.int32),
        "blocks.0.attn.pattern": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 7), np.float32),
        "turned": rng.normal(size=(4, 3)).astype(np.float32).T,
        "big-endian": np.arange(3, dtype=">f4"),
        "ünïcode": np.int32([[-1]]),
    }


def test_round_trip_is_zero_copy() -> None:
    arrays, notes = some_arrays(), {"model": "smollm2-135m", "text": "naïve"}
    packed = framing.pack(arrays, notes)
    read, metadata = framing.unpack(packed, "here")
    assert metadata == notes and list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].shape == array.shape and np.array_equal(read[name], array), name
        assert read[name].dtype in (np.float32, np.int32) and read[name].flags.aligned
        assert array.size == 0 or np.shares_memory(read[name], np.frombuffer(packed, np.uint8)), name
    assert framing.read_header(packed, "here").data_start % 8 == 0


def test_the_reference_reads_it(tmp_path: Path) -> None:
    framing.write(tmp_path / "a.safetensors", some_arrays(), {"k": "v"})
    reference = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    for name, array in some_arrays().items():
        assert np.array_equal(reference[name], array), name
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.metadata() == {"k": "v"}


def test_we_read_the_reference() -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.int32([7])}
    read, metadata = framing.unpack(safetensors.numpy.save(arrays, {"k": "v"}), "here")
    assert metadata == {"k": "v"} and all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_nothing_at_all() -> None:
    assert framing.unpack(framing.pack({}), "here") == ({}, {})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_any_buffer(kind: Any) -> None:
    arrays, _ = framing.unpack(kind(framing.pack({"a": np.float32([1, 2])})), "here")
    assert arrays["a"].tolist() == [1, 2]


def test_what_cannot_be_saved() -> None:
    with pytest.raises(BadInput, match="a is float64; only float32 and int32"):
        framing.pack({"a": np.zeros(3)})
    with pytest.raises(BadInput, match="__metadata__"):
        framing.pack({"__metadata__": np.float32([1])})
    with pytest.raises(BadInput, match="text by text"):
        framing.pack({}, {"n": 3})  # type: ignore[dict-item]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    framing.write(path, {"a": np.float32([1])})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CutawayError, match=r"could not write .*: No space left on device; nothing was left behind"):
        framing.write(path, {"a": np.float32([2])})
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"] and path.read_bytes() == before


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        framing.write(tmp_path / "a.safetensors", {"a": np.float32([2])})
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_and_a_missing_folder_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        framing.write(tmp_path / "a", {"a": np.zeros(3)})
    with pytest.raises(CutawayError, match="No such file or directory"):
        framing.write(tmp_path / "no" / "a", {"a": np.float32([1])})
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    framing.write(tmp_path / "a", {})
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def lie(header: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": offsets}


LIES: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "has 0 bytes"),
    "too few bytes": (b"1234567", "has 7 bytes"),
    "header longer than the file": (lie({}, length=500), "is cut short: its header should have 500 bytes"),
    "header of exabytes": (lie({}, length=2**63), "no safetensors file"),
    "not json": (lie(b"{"), "not JSON"),
    "not utf-8": (lie(b'{"\xff": 1}'), "not JSON"),
    "a list": (lie([]), "not a JSON object"),
    "deep nesting": (lie(b"[" * 200_000), "not JSON"),
    "a number of 5,000 digits": (lie(b'{"a": ' + b"1" * 5000 + b"}"), "not JSON"),
    "a name twice": (
        lie(b'{"a": %b, "a": %b}' % ((json.dumps(tensor()).encode(),) * 2)),
        'names "a" twice',
    ),
    "metadata of numbers": (lie({"__metadata__": {"a": 1}}, b""), "not text by text"),
    "an entry that is a number": (lie({"a": 1}), "not a JSON object"),
    "an unknown dtype": (lie({"a": tensor("F4")}), "no dtype that Cutaway knows"),
    "a dtype that is a list": (lie({"a": tensor(["F32"])}), "no dtype that Cutaway knows"),
    "a negative size": (lie({"a": tensor(shape=(-4,))}), "not a list of whole numbers"),
    "a size that is a fraction": (lie({"a": tensor(shape=(4.0,))}), "not a list of whole numbers"),
    "a size that is true": (
        lie({"a": tensor(shape=(True,), offsets=(0, 4))}, bytes(4)),
        "not a list of whole numbers",
    ),
    "a shape that is text": (lie({"a": tensor(shape="4")}), "not a list of whole numbers"),
    "a million dimensions": (lie({"a": tensor(shape=(1,) * 1_000_000)}), "1000000 dimensions"),
    "sizes that overflow": (lie({"a": tensor(shape=(2**62, 2**62))}), "needs"),
    "a size beyond 64 bits": (lie({"a": tensor(shape=(2**64 + 4,))}), "not a list of whole numbers"),
    "offsets that are three": (lie({"a": tensor(offsets=(0, 8, 16))}), "not two whole numbers"),
    "offsets the wrong way": (lie({"a": tensor(offsets=(16, 0))}), "-16 bytes"),
    "too few bytes for the shape": (lie({"a": tensor(offsets=(0, 12))}), "12 bytes"),
    "past the end": (lie({"a": tensor(shape=(5,), offsets=(0, 20))}), "is cut short"),
    "far past the end": (lie({"a": tensor(offsets=(2**62, 2**62 + 16))}), "is cut short"),
    "overlapping": (lie({"a": tensor(), "b": tensor(shape=(2,), offsets=(8, 16))}), "overlaps"),
    "a hole": (lie({"a": tensor(shape=(2,), offsets=(8, 16))}), "leaves a hole"),
    "bytes left over": (lie({"a": tensor(shape=(2,), offsets=(0, 8))}), "8 bytes after its last tensor"),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_are_refused_in_one_sentence(what: str) -> None:
    data, message = LIES[what]
    with pytest.raises(BadCheckpoint) as caught:
        framing.unpack(data, "hostile.safetensors")
    text = str(caught.value)
    assert message in text and text.startswith("hostile.safetensors ") and len(text) < 400 and "\n" not in text


def test_other_dtypes_have_headers_but_are_no_saved_trace() -> None:
    data = lie({"a": tensor("BF16", (8,))})
    assert framing.read_header(data, "here").tensors["a"].dtype == "BF16"
    with pytest.raises(BadCheckpoint, match="stores a as BF16"):
        framing.unpack(data, "here")
