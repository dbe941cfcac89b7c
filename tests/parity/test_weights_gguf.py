"""GGUF against the reference packages, live: the gguf package's reader and decoders, and transformers' loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cutaway.engine import Model
from cutaway.kernels.quants import FORMATS, dequantize
from cutaway.parameters import Parameters
from cutaway.weights import open_checkpoint
from cutaway.weights.gguf import GGML_TYPES, GGUFFile
from tests.support.folders import encode, stored_parameters
from tests.support.gguf_writer import gguf_bytes, gguf_metadata, gguf_tensors, write_tiny_gguf
from tests.support.tiny import some_ids

pytestmark = pytest.mark.yardstick


def test_types_and_sizes_are_the_reference_s() -> None:
    gguf = pytest.importorskip("gguf")
    for kind in gguf.GGMLQuantizationType:
        assert GGML_TYPES[kind.value] == kind.name
    for name, form in FORMATS.items():
        kind = gguf.GGMLQuantizationType[name]
        assert gguf.constants.GGML_QUANT_SIZES[kind] == (form.weights, form.n_bytes)


@pytest.mark.parametrize("dtype", [name for name in FORMATS if name != "F32"])
def test_many_random_blocks(dtype: str) -> None:
    gguf = pytest.importorskip("gguf")
    form = FORMATS[dtype]
    for seed in range(3):
        raw = np.random.default_rng(seed).integers(0, 256, (7, form.n_bytes * (8192 // form.weights)), dtype=np.uint8)
        with np.errstate(all="ignore"):
            expected = gguf.dequantize(raw, gguf.GGMLQuantizationType[dtype]).astype(np.float32)
        assert np.array_equal(dequantize(raw, dtype), expected, equal_nan=True)


def test_the_default_model_to_the_bit(default_model_path: Path) -> None:
    """Every tensor and every key of the default file, as the reference reads them."""
    gguf = pytest.importorskip("gguf")
    reference, file = gguf.GGUFReader(default_model_path), GGUFFile(default_model_path)
    keys = [key for key in reference.fields if not key.startswith("GGUF.")]
    assert list(file.metadata) == keys
    for key in keys:
        assert file.metadata[key] == reference.fields[key].contents(), key
    assert list(file.tensors) == [tensor.name for tensor in reference.tensors]
    for tensor in reference.tensors:
        info = file.tensors[tensor.name]
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert info.dtype == tensor.tensor_type.name
        assert np.array_equal(dequantize(file.raw(tensor.name), info.dtype).reshape(info.shape), expected), (
            tensor.name
        )


def test_our_writer_is_read_by_the_reference(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    config = write_tiny_gguf(tmp_path / "m.gguf", "llama", dtype="F16")
    reference = gguf.GGUFReader(tmp_path / "m.gguf")
    assert reference.fields["llama.block_count"].contents() == config.n_layer
    ours = GGUFFile(tmp_path / "m.gguf")
    for tensor in reference.tensors:
        assert np.array_equal(ours.raw(tensor.name).reshape(-1), tensor.data.reshape(-1).view(np.uint8)), tensor.name


@pytest.mark.parametrize("shape", ["llama-mha", "llama-gqa", "llama-mqa-tied", "qwen2", "qwen3", "gpt2"])
def test_transformers_loads_the_same_model_from_the_same_gguf(tmp_path: Path, shape: str) -> None:
    """Its loader undoes the permutation of Q and K by itself: an independent witness for the layout."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    # what its loader does not take from the file: GPT-2's context and width of the MLP, and Qwen3's width of a head
    special: dict[str, dict[str, Any]] = {"gpt2": {"n_ctx": 1024, "d_mlp": 128}, "qwen3": {"d_head": 128}}
    overrides = special.get(shape, {})
    config = write_tiny_gguf(tmp_path / "m.gguf", shape, **overrides)
    kind = gguf_metadata(config)["general.architecture"]
    tensors = {name: encode(a, "F32") for name, a in gguf_tensors(config, stored_parameters(config)).items()}
    vocabulary = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": [f"p{i}" for i in range(config.n_vocab)],
                  f"{kind}.vocab_size": config.n_vocab}  # fmt: skip
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(gguf_metadata(config) | vocabulary, tensors))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="m.gguf", dtype=torch.float32, attn_implementation="eager"
    )
    ids = some_ids(13)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    logits = Model(checkpoint.config, Parameters(checkpoint.config, checkpoint.read)).trace(ids)["logits"]
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
