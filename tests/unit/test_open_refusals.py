"""What `open_checkpoint` refuses: each with one sentence that says what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cutaway.errors import BadCheckpoint, CutawayError
from cutaway.weights import open_checkpoint
from tests.support.folders import encode, stored_parameters, write_tiny
from tests.support.gguf_writer import gguf_bytes, gguf_metadata, gguf_tensors, write_tiny_gguf


def refusal(path: Path) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        open_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


def test_nothing_there(tmp_path: Path) -> None:
    assert "there is no file or folder" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.PTH", "last.ckpt"])
def test_pickles(tmp_path: Path, name: str) -> None:
    """By their endings, and unopened: reading one is what runs its code."""
    (tmp_path / name).write_bytes(b"\x80\x02cos\nsystem\n")
    text = refusal(tmp_path / name)
    assert "can run any code" in text and "save_pretrained" in text and str(tmp_path) in text


def test_a_folder_of_pickles(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    text = refusal(tmp_path)
    assert "pytorch_model.bin is a Python pickle" in text and "save_pretrained" in text


def test_pickles_beside_safetensors_do_no_harm(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama")
    (tmp_path / "training_args.bin").write_bytes(b"\x80\x02")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    open_checkpoint(tmp_path)


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    assert "has no config.json, so it is no model" in refusal(tmp_path)
    write_tiny_gguf(tmp_path / "m.gguf", "llama")
    assert "give the path of m.gguf itself" in refusal(tmp_path)
    write_tiny(tmp_path / "f", "llama")
    (tmp_path / "f" / "model.safetensors").unlink()
    assert "no .safetensors file; fetch model.safetensors too" in refusal(tmp_path / "f")


def test_a_single_file_without_a_config(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama")
    (tmp_path / "config.json").unlink()
    assert "has no config.json beside it" in refusal(tmp_path / "model.safetensors")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": ' * 100_000, '"llama"', "\x00"])
def test_a_config_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    write_tiny(tmp_path, "llama")
    (tmp_path / "config.json").write_text(text)
    assert "config.json is not a JSON object" in refusal(tmp_path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama")
    for start, word in (
        (b"PK\x03\x04", "zip archive"),
        (b"<html>", "web page"),
        (b"version https://git-lfs", "git lfs"),
    ):
        (tmp_path / "model.safetensors").write_bytes(start + bytes(100))
        assert word in refusal(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "is empty" in refusal(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07\x12\x07")
    assert "neither a .gguf nor a .safetensors" in refusal(tmp_path / "model.onnx")


def test_a_gguf_by_another_name(tmp_path: Path) -> None:
    """The hub's cache calls files by their checksums."""
    write_tiny_gguf(tmp_path / "0123abcd", "llama")
    assert open_checkpoint(tmp_path / "0123abcd").summary.format == "GGUF 3"


def test_more_blocks_than_tensors_costs_nothing(tmp_path: Path) -> None:
    """Declaring two thousand million blocks would fill the memory."""
    write_tiny(tmp_path, "llama")
    config = json.loads((tmp_path / "config.json").read_text()) | {"num_hidden_layers": 2**31}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "should have 2147483648 blocks, and holds only 21 tensors" in refusal(tmp_path)


def test_several_files_without_an_index(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama", shards=2)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert "holds 2 .safetensors files and no model.safetensors.index.json" in refusal(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama", shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "lacks model-00002-of-00002.safetensors" in refusal(tmp_path)


def test_a_shard_that_lacks_its_tensor(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama", shards=2)
    index = tmp_path / "model.safetensors.index.json"
    where = json.loads(index.read_text())
    where["weight_map"]["model.norm.weight"] = "model-00001-of-00002.safetensors"
    where["weight_map"]["model.other"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(where))
    assert "lacks" in refusal(tmp_path) and "which model.safetensors.index.json says it holds" in refusal(tmp_path)


OUTSIDE = [
    "../secret.safetensors", "/etc/secret.safetensors", "sub/x.safetensors", "..\\secret.safetensors",
    "C:secret.safetensors", ".safetensors", "..safetensors", "model.bin", "", "a\0.safetensors", 7, None, ["x"],
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_leads_nowhere_else(tmp_path: Path, name: object) -> None:
    folder = tmp_path / "model"
    write_tiny(folder, "llama", shards=2)
    os.link(folder / "model-00001-of-00002.safetensors", tmp_path / "secret.safetensors")
    index = folder / "model.safetensors.index.json"
    where = json.loads(index.read_text())
    where["weight_map"] = {key: name for key in where["weight_map"]}
    index.write_text(json.dumps(where))
    assert "only .safetensors files beside it are allowed" in refusal(folder)


@pytest.mark.parametrize("text", ["{}", '{"weight_map": {}}', '{"weight_map": []}', "[]"])
def test_an_index_without_a_map(tmp_path: Path, text: str) -> None:
    write_tiny(tmp_path, "llama", shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json" in refusal(tmp_path)


def test_a_gguf_without_language(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes({"general.architecture": "llama", "llama.block_count": 2}, {}))
    with pytest.raises(CutawayError, match="lacks"):
        open_checkpoint(tmp_path / "m.gguf")


def rewrite(path: Path, **changes: object) -> None:
    config = write_tiny_gguf(path, "llama")
    tensors = {name: encode(array, "F32") for name, array in gguf_tensors(config, stored_parameters(config)).items()}
    path.write_bytes(gguf_bytes(gguf_metadata(config) | changes, tensors))


def test_a_part_of_a_gguf(tmp_path: Path) -> None:
    rewrite(tmp_path / "m.gguf", **{"split.count": 3})
    assert "is one of 3 parts of a model; join them" in refusal(tmp_path / "m.gguf")
    rewrite(tmp_path / "m.gguf", **{"split.count": 1})
    open_checkpoint(tmp_path / "m.gguf")


def test_a_vocabulary_larger_than_its_embedding(tmp_path: Path) -> None:
    rewrite(tmp_path / "m.gguf", **{"tokenizer.ggml.tokens": ["p"] * 98})
    assert "has 98 pieces in its vocabulary, and embeds only 97" in refusal(tmp_path / "m.gguf")
    rewrite(tmp_path / "m.gguf", **{"tokenizer.ggml.tokens": ["p"] * 97})
    open_checkpoint(tmp_path / "m.gguf")


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.mkdir()
    assert "has no config.json" in refusal(path)
