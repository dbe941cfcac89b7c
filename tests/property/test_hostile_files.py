"""Mutated and truncated files through readers and decoders: only `CutawayError` comes out, soon, in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutaway import framing
from cutaway.errors import CutawayError
from cutaway.kernels.quants import FORMATS, dequantize
from cutaway.weights import open_checkpoint
from cutaway.weights.configs import from_hf
from cutaway.weights.gguf import GGUFFile
from tests.support.folders import encode, hf_config, hf_tensors, safetensors_bytes, stored_parameters, tiny_on_disk
from tests.support.gguf_writer import gguf_bytes, gguf_metadata, gguf_tensors

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
GOLDEN = Path(__file__).parents[1] / "golden" / "small.gguf"


@contextmanager
def bounded(n_bytes: int) -> Iterator[None]:
    """At most 16 MB and forty times the file, and a second: lists of Python's own objects are that much larger."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20 + 40 * n_bytes
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 1


@cache
def a_gguf(architecture: str) -> bytes:
    config = tiny_on_disk(architecture, n_layer=1)
    tensors = {name: encode(a, "F16") for name, a in gguf_tensors(config, stored_parameters(config)).items()}
    extra = {"tokenizer.ggml.tokens": [f"p{i}" for i in range(97)], "tokenizer.ggml.token_type": [1] * 97}
    return gguf_bytes(gguf_metadata(config) | extra, tensors)


def try_gguf(path: Path) -> None:
    file = GGUFFile(path)
    for key in file.metadata:
        _ = file.metadata[key]
    for name in file.tensors:
        dequantize(file.raw(name), file.tensors[name].dtype)
    try_checkpoint(path)


def try_checkpoint(path: Path) -> None:
    checkpoint = open_checkpoint(path)
    for name in checkpoint.names:
        array = checkpoint.read(name)
        assert array.dtype == np.float32 and array.shape == checkpoint._declared[name].stored_shape


def survives(what: Callable[[], object], n_bytes: int) -> None:
    with bounded(n_bytes):
        try:
            what()
        except CutawayError as err:
            assert len(str(err)) < 2000 and "\n" not in str(err)


NUMBERS = st.sampled_from([0, 1, 2, 7, 31, 2**16, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "number", "cut", "double", "end"]),
        st.integers(0, 2**16),  # where
        st.integers(0, 255) | NUMBERS,
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, header: int, mutations: list[tuple[str, int, int]]) -> bytes:
    """Bytes changed, numbers of 8 bytes put in, a stretch taken out or doubled, the end cut off."""
    out = bytearray(data)
    for how, where, value in mutations:
        at = where % (min(header, len(out)) or 1)
        if how == "flip" and out:
            out[at] = value % 256
        elif how == "number":
            out[at : at + 8] = value.to_bytes(8, "little")
        elif how == "cut":
            del out[at : at + value % 40]
        elif how == "double":
            out[at:at] = out[at : at + value % 40]
        else:
            del out[at:]
    return bytes(out)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3"])
@QUICK
@given(mutations=MUTATIONS)
def test_mutated_ggufs(tmp_path: Path, architecture: str, mutations: list[tuple[str, int, int]]) -> None:
    data = mutated(a_gguf(architecture), 2800, mutations)
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    survives(lambda: try_gguf(path), len(data))


@QUICK
@given(mutations=MUTATIONS)
def test_mutated_file_of_the_reference_writer(tmp_path: Path, mutations: list[tuple[str, int, int]]) -> None:
    data = mutated(GOLDEN.read_bytes(), 1200, mutations)
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    survives(lambda: try_gguf(path), len(data))


@QUICK
@given(st.binary(max_size=400))
def test_noise_after_the_magic(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "m.gguf"
    for start in (b"", b"GGUF", b"GGUF\x03\0\0\0", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"):
        path.write_bytes(start + noise)
        survives(lambda: try_gguf(path), len(noise))


@cache
def a_folder(architecture: str) -> tuple[str, bytes]:
    config = tiny_on_disk(architecture, n_layer=1)
    raw = {name: encode(array, "BF16") for name, array in hf_tensors(config, stored_parameters(config)).items()}
    return json.dumps(hf_config(config)), safetensors_bytes(raw)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@QUICK
@given(mutations=MUTATIONS)
def test_mutated_safetensors(tmp_path: Path, architecture: str, mutations: list[tuple[str, int, int]]) -> None:
    config, good = a_folder(architecture)
    data = mutated(good, 8 + int.from_bytes(good[:8], "little"), mutations)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(data)
    survives(lambda: try_checkpoint(tmp_path), len(data))
    survives(lambda: framing.unpack(data, "here"), len(data))


JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=6,
)


@QUICK
@given(st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), JSON, max_size=4), st.binary(max_size=32))
def test_any_json_as_a_header(header: dict[str, Any], data: bytes) -> None:
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data
    survives(lambda: framing.unpack(whole, "here"), len(whole))


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I32", "BF16", "F64"]) | JSON,
        "shape": st.lists(NUMBERS | st.integers(-2, 9), max_size=5),
        "data_offsets": st.lists(NUMBERS | st.integers(-2, 40), min_size=2, max_size=2),
    }
)


@QUICK
@given(st.dictionaries(st.text(max_size=6), ENTRY, min_size=1, max_size=3), st.binary(max_size=40))
def test_headers_that_are_nearly_right(header: dict[str, Any], data: bytes) -> None:
    """What is accepted lies inside the buffer, and nowhere over another."""
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data

    def read() -> None:
        arrays, _ = framing.unpack(whole, "here")
        assert sum(array.nbytes for array in arrays.values()) == len(data)

    survives(read, len(whole))


@QUICK
@given(
    st.sampled_from(["gpt2", "llama-gqa", "mistral", "qwen2", "qwen3"]),
    st.data(),
)
def test_configurations_with_any_values(architecture: str, drawn: st.DataObject) -> None:
    values = hf_config(tiny_on_disk(architecture), drawn.draw(st.sampled_from([4, 5])))
    keys = st.sampled_from(
        [*values, "sliding_window", "layer_types", "rope_scaling", "quantization_config", "n_inner"]
    )
    for key in drawn.draw(st.lists(keys, min_size=1, max_size=3)):
        values[key] = drawn.draw(JSON)
    survives(lambda: from_hf(values, "config.json"), 1000)


@QUICK
@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 6), st.data())
def test_decoders_take_any_bytes(dtype: str, n_blocks: int, drawn: st.DataObject) -> None:
    """Any bytes are some weights (perhaps infinite): the right number of them, and always the same."""
    form = FORMATS[dtype]
    n = n_blocks * form.n_bytes
    raw = np.frombuffer(drawn.draw(st.binary(min_size=n, max_size=n)), np.uint8)
    weights = dequantize(raw, dtype)
    assert weights.dtype == np.float32 and weights.shape == (n_blocks * form.weights,)
    for i in range(n_blocks):
        one = dequantize(raw[i * form.n_bytes : (i + 1) * form.n_bytes], dtype)
        assert np.array_equal(one, weights[i * form.weights : (i + 1) * form.weights], equal_nan=True)


ARRAYS = st.dictionaries(
    st.text(max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(
        st.sampled_from([np.float32, np.int32]), st.lists(st.integers(0, 4), max_size=4), st.integers(0, 2**32)
    ),
    max_size=5,
)


@QUICK
@given(ARRAYS, st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
def test_what_is_packed_is_unpacked(given_arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays = {
        name: np.random.default_rng(seed).integers(-9, 9, shape).astype(dtype)
        for name, (dtype, shape, seed) in given_arrays.items()
    }
    packed = framing.pack(arrays, metadata)
    read, notes = framing.unpack(packed, "here")
    assert notes == metadata and list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
