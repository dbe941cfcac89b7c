"""What `tests.support.folders` writes, transformers loads, and computes the same; what it saves, Cutaway reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cutaway.engine import Model
from cutaway.parameters import Parameters
from cutaway.weights import open_checkpoint
from tests.support.folders import write_tiny
from tests.support.tiny import SHAPES, some_ids

pytestmark = pytest.mark.yardstick

ON_DISK = [shape for shape in SHAPES if shape != "gpt2-no-bias"]


def load(folder: Path) -> Model:
    checkpoint = open_checkpoint(folder)
    return Model(checkpoint.config, Parameters(checkpoint.config, checkpoint.read))


@pytest.mark.parametrize("spelling", [4, 5])
@pytest.mark.parametrize("shape", ON_DISK)
def test_transformers_loads_and_agrees(tmp_path: Path, shape: str, spelling: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    write_tiny(tmp_path, shape, spelling=spelling)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    ids = some_ids(17)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    logits = load(tmp_path).trace(ids)["logits"]
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", ["gpt2", "llama-mqa-tied", "qwen3"])
def test_what_transformers_saves(tmp_path: Path, shape: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    write_tiny(tmp_path / "in", shape)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "in", dtype=getattr(torch, dtype))
    theirs.save_pretrained(tmp_path / "out", max_shard_size="20KB")
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    ids = some_ids(11)
    with torch.no_grad():
        expected = theirs.float()(torch.tensor([ids])).logits[0].numpy()
    logits = load(tmp_path / "out").trace(ids)["logits"]
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
