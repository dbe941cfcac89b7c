"""The GGUF header reader: files of the reference's writer, long and odd string arrays, and every refusal."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import dequantize
from cutaway.weights.gguf import MOST_ENTRIES, GGUFFile, walk_strings
from tests.support.folders import encode
from tests.support.gguf_writer import Tensor, gguf_bytes, string

GOLDEN = Path(__file__).parents[1] / "golden"
A: Tensor = encode(np.arange(64, dtype=np.float32).reshape(2, 32), "F32")


def opened(tmp_path: Path, data: bytes) -> GGUFFile:
    (tmp_path / "m.gguf").write_bytes(data)
    return GGUFFile(tmp_path / "m.gguf")


def test_a_file_of_the_reference() -> None:
    file = GGUFFile(GOLDEN / "small.gguf")
    assert file.version == 3
    assert dict(file.metadata) == {
        "general.architecture": "llama",
        "a.count": 7,
        "a.number": -2.5,
        "a.truth": True,
        "a.text": "naïve",
        "a.ids": [1, -2, 3],
        "a.pieces": ["x", "", "Ġé", "p" * 300, "end"],
        "general.alignment": 64,
    }
    with np.load(GOLDEN / "small.npz") as golden:
        assert list(file.tensors) == list(golden)
        for name, expected in golden.items():
            info = file.tensors[name]
            assert info.shape == expected.shape == (3, 64) and info.dtype.lower() == name[2:]
            assert np.array_equal(dequantize(file.raw(name), info.dtype), expected), name


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions(tmp_path: Path, version: int) -> None:
    file = opened(tmp_path, gguf_bytes({"k": 1}, {"a": A}, version=version))
    assert file.version == version and file.metadata["k"] == 1
    assert file.raw("a").view("<f4").tolist() == np.arange(64).reshape(2, 32).tolist()
    assert not file.raw("a").flags.writeable and not file.raw("a").flags.owndata


def test_every_scalar(tmp_path: Path) -> None:
    values = {0: ("B", 200), 1: ("b", -3), 2: ("H", 60000), 3: ("h", -30000), 4: ("I", 2**32 - 1), 5: ("i", -(2**31)),
              6: ("f", 0.5), 7: ("?", True), 10: ("Q", 2**64 - 1), 11: ("q", -(2**63)), 12: ("d", 1e300)}  # fmt: skip
    metadata = {str(kind): struct.pack("<I" + code, kind, value) for kind, (code, value) in values.items()}
    metadata |= {
        f"list {kind}": struct.pack("<IIQ2" + code, 9, kind, 2, value, value)
        for kind, (code, value) in values.items()
    }
    read = opened(tmp_path, gguf_bytes(metadata, {})).metadata
    for kind, (_, value) in values.items():
        assert read[str(kind)] == value and type(read[str(kind)]) is type(value)
        assert read[f"list {kind}"] == [value, value] and type(read[f"list {kind}"][0]) is type(value)
    assert len(read) == 22 and "list 4" in read and "list" not in read and read.get("list") is None


PIECES: dict[str, list[str | bytes]] = {
    "none": [],
    "one": ["x"],
    "empty ones": [""] * 500,
    "short": [f"p{i}" for i in range(5000)],
    "long": ["x" * (200 + 37 * i) for i in range(200)],
    "mostly short": [("y" * 5000 if i % 331 == 7 else f"Ġ{i}" if i % 7 else "") for i in range(6000)],
    "parts of characters": [b"\xf0\x9f", "é", b"\xff" * 9, "ok"] * 300,
    "zeros inside": ["a\0\0\0\0\0\0\0\0b", "\0" * 20, "\x05\0\0\0\0\0\0\0hello", "z"] * 300,
    "longer than a window": ["q" * 300_000, "r", "s" * 140_000] * 2,
}


@pytest.mark.parametrize("what", PIECES)
def test_string_arrays(tmp_path: Path, what: str) -> None:
    """The walk finds what was written, and the keys and tensors behind it."""
    pieces = PIECES[what]
    body = b"".join(map(string, pieces))
    metadata = {"tokens": struct.pack("<IIQ", 9, 8, len(pieces)) + body, "after": 9}
    file = opened(tmp_path, gguf_bytes(metadata, {"a": A}))
    assert file.metadata["after"] == 9 and file.raw("a").shape == (2, 128)
    assert file.metadata["tokens"] == pieces
    assert file.metadata["tokens"] is file.metadata["tokens"]  # decoded once


def test_the_walk_stays_inside(tmp_path: Path) -> None:
    body = b"".join(map(string, [f"p{i}" for i in range(300)]))
    for cut in (1, 5, 11, len(body) // 2):
        data = body[: len(body) - cut]
        assert walk_strings(data, np.frombuffer(data, np.uint8), 0, 300) is None
    lying = bytearray(body)
    lying[0:8] = struct.pack("<Q", 2**63)
    assert walk_strings(bytes(lying), np.frombuffer(bytes(lying), np.uint8), 0, 300) is None


def test_opening_a_large_vocabulary_takes_milliseconds(tmp_path: Path) -> None:
    """98,000 strings as in the default file: 5 ms here; a loop of Python steps alone takes over 20."""
    metadata = {"tokens": [f"Ġpiece{i}" for i in range(49_000)], "merges": [f"ab{i} cd" for i in range(49_000)]}
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(metadata, {"a": A}))

    def seconds() -> float:
        start = time.perf_counter()
        GGUFFile(tmp_path / "m.gguf")
        return time.perf_counter() - start

    def steps() -> float:
        data = (tmp_path / "m.gguf").read_bytes()
        at, start = 24 + 8 + 6 + 16, time.perf_counter()
        for _ in range(49_000):
            at += 8 + struct.unpack_from("<Q", data, at)[0]
        return 2 * (time.perf_counter() - start)

    assert min(seconds() for _ in range(5)) < 0.5 * min(steps() for _ in range(5))


def test_a_vocabulary_without_utf8_keys_is_refused_and_values_are_not(tmp_path: Path) -> None:
    text = struct.pack("<I", 8) + string(b"caf\xe9")
    assert opened(tmp_path, gguf_bytes({"general.name": text}, {})).metadata["general.name"] == "caf\ufffd"
    raw = gguf_bytes({"XXXX": 1}, {}).replace(b"XXXX", b"\xff\xfeXX")
    with pytest.raises(BadCheckpoint, match="a key that is not UTF-8"):
        opened(tmp_path, raw)


def key(kind: int, body: bytes) -> bytes:
    return struct.pack("<I", kind) + body


GOOD = gguf_bytes({"k": 1}, {"a": A})
LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "a zip archive": (b"PK\x03\x04" + bytes(50), 'starts with "PK" (a zip archive), not "GGUF"; unzip it first'),
    "gzip": (b"\x1f\x8b" + bytes(50), "(a gzip archive)"),
    "a web page": (b"<!DOCTYPE html>", "(a web page)"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    "a pickle": (b"\x80\x02}q\x00", "Python pickle"),
    "old ggml": (b"tjgg" + bytes(50), "old GGJT format"),
    "text": (b"hello world", 'starts with "hell", not "GGUF"'),
    "binary": (b"\x01\x02\x03\x04", "the bytes 01 02 03 04"),
    "nothing but the magic": (b"GGUF", "ends at byte 4, inside the version"),
    "version 1": (gguf_bytes({}, {}, version=1), "GGUF of version 1; Cutaway reads 2 and 3"),
    "version 4": (gguf_bytes({}, {}, version=4), "GGUF of version 4"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "no counts": (b"GGUF" + struct.pack("<I", 3), "inside the counts"),
    "too many tensors": (gguf_bytes({}, {}, n_tensors=2**60), "tensors, more than its"),
    "too many keys": (gguf_bytes({}, {}, n_keys=2**63), "keys and 0 tensors, more than its"),
    "a key of exabytes": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + bytes(40), "a key a length of"),
    "a key too long": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 70_000) + b"k" * 80_000, "a key a length of 70000"),
    "a key twice": (gguf_bytes([("k", 1), ("k", 2)], {}), 'the key "k" twice'),
    "an unknown value type": (gguf_bytes({"k": key(13, bytes(8))}, {}), "unknown type 13"),
    "a string past the end": (gguf_bytes({"k": key(8, struct.pack("<Q", 1000))}, {}), "a length of 1000"),
    "a string past the end of a long file": (
        gguf_bytes({"j": "x" * 2000, "k": key(8, struct.pack("<Q", 1000))}, {}),
        "a length of 1000",
    ),
    "an array in an array": (gguf_bytes({"k": key(9, struct.pack("<IQ", 9, 1) + bytes(99))}, {}), "nests an array"),
    "an array of unknown things": (gguf_bytes({"k": key(9, struct.pack("<IQ", 77, 1))}, {}), "unknown type 77"),
    "an array past the end": (gguf_bytes({"k": key(9, struct.pack("<IQ", 5, 2**61))}, {}), "entries, more than"),
    "strings past the end": (gguf_bytes({"k": key(9, struct.pack("<IQ", 8, 2**61))}, {}), "strings, more than"),
    "strings without end": (
        gguf_bytes({"k": key(9, struct.pack("<IQ", 8, MOST_ENTRIES + 1) + bytes(8 * MOST_ENTRIES + 8))}, {}),
        "strings, more than",
    ),
    "a string in an array past the end": (
        gguf_bytes({"k": key(9, struct.pack("<IQQ", 8, 1, 2**40) + bytes(99))}, {}),
        'cut short inside the array "k"',
    ),
    "alignment 0": (gguf_bytes({"general.alignment": 0}, {}), "the alignment 0"),
    "alignment 24": (gguf_bytes({"general.alignment": 24}, {}), "the alignment 24"),
    "alignment of gigabytes": (gguf_bytes({"general.alignment": 2**31}, {}), "the alignment 2147483648"),
    "alignment as text": (gguf_bytes({"general.alignment": "32"}, {}), "the alignment '32'"),
    "alignment as truth": (gguf_bytes({"general.alignment": True}, {}), "the alignment True"),
    "no dimensions": (gguf_bytes({}, {"a": ("F32", (), bytes(4))}), "0 dimensions"),
    "a million dimensions": (gguf_bytes({}, {"a": ("F32", (1,) * 1_000_000, bytes(4))}), "1000000 dimensions"),
    "billions of dimensions": (
        gguf_bytes({}, {"a": A}).replace(
            string("a") + struct.pack("<I", 2), string("a") + struct.pack("<I", 2**32 - 1)
        ),
        "4294967295 dimensions",
    ),
    "an unknown tensor type": (gguf_bytes({}, {"a": (200, (32,), bytes(32))}), "unknown way 200"),
    "a type without a decoder": (gguf_bytes({}, {"a": (19, (256,), bytes(50))}), "as IQ1_S, which Cutaway does not"),
    "a broken row": (gguf_bytes({}, {"a": ("Q4_1", (4, 33), bytes(96))}), "rows of 33, and Q4_1 packs 32 together"),
    "an empty shape": (gguf_bytes({}, {"a": ("F32", (4, 0), b"")}), "impossible shape [4, 0]"),
    "sizes that overflow": (
        gguf_bytes({}, {"a": ("F32", (2**62, 4, 2**62), bytes(4))}),
        "impossible shape [4611686018427387904, 4, 4611686018427387904]",
    ),
    "a tensor larger than the file": (gguf_bytes({}, {"a": ("F32", (2**30,), bytes(64))}), "is cut short"),
    "an offset past the end": (gguf_bytes({}, {"a": A}, offsets={"a": 2**40}), "is cut short"),
    "an offset that overflows": (gguf_bytes({}, {"a": A}, offsets={"a": 2**64 - 32}), "is cut short"),
    "an offset out of line": (gguf_bytes({}, {"a": A}, offsets={"a": 4}), "at 4, not a multiple of 32"),
    "a tensor twice": (gguf_bytes({}, [("a", A), ("a", A)]), 'the tensor "a" twice'),
    "a tensor over another": (gguf_bytes({}, {"a": A, "b": A}, offsets={"b": 32}), "over another"),
    "a name of megabytes": (gguf_bytes({}, {"n" * 2_000_000: A}), "name a length of 2000000"),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_are_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    data, message = LIES[what]
    start = time.perf_counter()
    with pytest.raises(BadCheckpoint) as caught:
        opened(tmp_path, data)
    text = str(caught.value)
    assert message in text and text.startswith("m.gguf ") and len(text) < 400 and "\n" not in text
    assert time.perf_counter() - start < 2


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, GOOD)
    for length in range(len(GOOD)):
        with pytest.raises(BadCheckpoint):
            opened(tmp_path, GOOD[:length])


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"there is no file .*no\.gguf"):
        GGUFFile(tmp_path / "no.gguf")
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        GGUFFile(tmp_path)


def test_metadata_is_a_mapping(tmp_path: Path) -> None:
    read: Any = opened(tmp_path, gguf_bytes({"z": 1, "list": ["a"], "b": 2}, {})).metadata
    assert list(read) == ["z", "list", "b"] and len(read) == 3  # the file's order
    assert read.length("list") == 1 and read.length("z") is None
    with pytest.raises(KeyError):
        read["nothing"]
