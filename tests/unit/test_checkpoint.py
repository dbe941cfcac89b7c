"""Every architecture, layout and dtype on disk ends in the same canonical weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cutaway.config import ModelConfig, RopeScaling
from cutaway.engine import Model
from cutaway.errors import BadCheckpoint
from cutaway.kernels.quants import dequantize
from cutaway.parameters import Parameters
from cutaway.sites.parameters import declared_parameters
from cutaway.weights import open_checkpoint
from cutaway.weights.checkpoint import half_split
from tests.support.folders import encode, hf_tensors, safetensors_bytes, stored_parameters, write_tiny
from tests.support.gguf_writer import gguf_bytes, gguf_metadata, gguf_tensors, interleave, write_tiny_gguf
from tests.support.tiny import SHAPES, some_ids

ON_DISK = [shape for shape in SHAPES if shape != "gpt2-no-bias"]  # transformers' GPT-2 always has its biases


def same(checkpoint: object, stored: dict[str, np.ndarray], tolerance: float = 0.0) -> None:
    assert list(checkpoint.names) == list(stored)  # type: ignore[attr-defined]
    for name, expected in stored.items():
        array = checkpoint.read(name)  # type: ignore[attr-defined]
        assert array.dtype == np.float32 and array.shape == expected.shape, name
        assert np.abs(array - expected).max() <= tolerance * np.abs(expected).max(), name


@pytest.mark.parametrize("spelling", [4, 5])
@pytest.mark.parametrize("shape", ON_DISK)
def test_a_folder_gives_back_what_was_written(tmp_path: Path, shape: str, spelling: int) -> None:
    config = write_tiny(tmp_path / "m", shape, spelling=spelling)
    checkpoint = open_checkpoint(tmp_path / "m")
    assert dataclasses.replace(checkpoint.config, name=config.name) == config
    assert checkpoint.config.name == "m"
    same(checkpoint, stored_parameters(config))


@pytest.mark.parametrize("shape", [shape for shape in ON_DISK if shape != "llama-rope-scaled"])
def test_a_gguf_gives_back_what_was_written(tmp_path: Path, shape: str) -> None:
    config = write_tiny_gguf(tmp_path / "m.gguf", shape)
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    read = dataclasses.replace(checkpoint.config, norm_eps=config.norm_eps)
    assert read == config
    assert abs(checkpoint.config.norm_eps - config.norm_eps) < 1e-9  # GGUF keeps it as float32
    same(checkpoint, stored_parameters(config))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("shape", ["gpt2", "llama-gqa"])
def test_half_precision_is_widened(tmp_path: Path, shape: str, dtype: str) -> None:
    config = write_tiny(tmp_path / "m", shape, dtype=dtype)
    stored = stored_parameters(config)
    tolerance = 2**-11 if dtype == "F16" else 2**-8
    checkpoint = open_checkpoint(tmp_path / "m")
    same(checkpoint, stored, tolerance)
    assert checkpoint.dtype("blocks.0.attn.W_Q") == dtype
    assert checkpoint.stored_bytes("blocks.0.attn.W_Q") == 2 * stored["blocks.0.attn.W_Q"].size
    write_tiny_gguf(tmp_path / "m.gguf", shape, dtype=dtype)
    same(open_checkpoint(tmp_path / "m.gguf"), stored, tolerance)


def test_hub_gpt2_has_no_prefix_and_carries_masks(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "gpt2", bare=True)
    stored = stored_parameters(config)
    raw = {name: encode(array, "F32") for name, array in hf_tensors(config, stored, bare=True).items()}
    for i in range(config.n_layer):
        mask = np.tril(np.ones((1, 1, config.n_ctx, config.n_ctx), np.float32))
        raw[f"h.{i}.attn.bias"] = encode(mask, "F32")
        raw[f"h.{i}.attn.masked_bias"] = encode(np.float32([-1e4]), "F32")
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(raw))
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, stored)
    assert checkpoint.file_parameter_count == sum(p.size for p in declared_parameters(config).values())


def test_float32_is_not_copied(tmp_path: Path) -> None:
    for shape in ("gpt2", "llama"):
        write_tiny(tmp_path / shape, shape)
        checkpoint = open_checkpoint(tmp_path / shape)
        for name in checkpoint.names:
            assert not checkpoint.read(name).flags.owndata and not checkpoint.read(name).flags.writeable, name
            assert np.shares_memory(checkpoint.read(name), checkpoint.read(name)), name


def test_unaligned_safetensors_are_copied_and_right(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "llama")
    stored = stored_parameters(config)
    raw = {name: encode(array, "F32") for name, array in hf_tensors(config, stored).items()}
    for spaces in range(4):  # one of these lengths is odd
        (tmp_path / "model.safetensors").write_bytes(
            safetensors_bytes({"x" * spaces: encode(np.float32([1]), "F32")} | raw, padded=False)
        )
        checkpoint = open_checkpoint(tmp_path)
        same(checkpoint, stored)
        assert checkpoint.read("W_E").flags.aligned


def test_shards(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "qwen2", shards=3)
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, stored_parameters(config))
    assert checkpoint.summary.file_bytes == sum(f.stat().st_size for f in tmp_path.glob("*.safetensors"))


def test_a_single_file_with_its_config_beside_it(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "llama")
    (tmp_path / "model.safetensors").rename(tmp_path / "mine.safetensors")
    same(open_checkpoint(tmp_path / "mine.safetensors"), stored_parameters(config))
    same(open_checkpoint(tmp_path), stored_parameters(config))


def test_what_lies_beside_the_weights(tmp_path: Path) -> None:
    write_tiny(tmp_path, "llama")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.tokenizer_json is None and checkpoint.chat_template is None
    assert checkpoint.tokenizer_metadata is None
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "old {{ x }}"}')
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.tokenizer_json == tmp_path / "tokenizer.json" and checkpoint.chat_template == "old {{ x }}"
    (tmp_path / "tokenizer_config.json").write_text(
        '{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}'
    )
    assert open_checkpoint(tmp_path).chat_template == "d"
    (tmp_path / "chat_template.jinja").write_text("new {{ x }}")
    assert open_checkpoint(tmp_path).chat_template == "new {{ x }}"


@pytest.mark.parametrize("threads", [1, 2])
def test_reading_all_equals_reading_each(tmp_path: Path, threads: int) -> None:
    config = write_tiny(tmp_path, "qwen3", dtype="F16")
    checkpoint = open_checkpoint(tmp_path)
    seen: list[tuple[int, int]] = []
    arrays = checkpoint.read_all(threads=threads, progress=lambda done, of: seen.append((done, of)))
    for name in checkpoint.names:
        assert np.array_equal(arrays[name], checkpoint.read(name)), name
    total = sum(p.size for p in declared_parameters(config).values())
    assert seen[-1] == (total, total) and len(seen) == len(checkpoint.names)
    assert list(checkpoint.read_all(["ln_final.w", "W_E"])) == ["ln_final.w", "W_E"]


# ---- the two layouts of Q and K ----


def test_half_split_by_hand() -> None:
    """One head of width 6: pairs (a0 b0)(a1 b1)(a2 b2) become halves (a0 a1 a2)(b0 b1 b2)."""
    pairs = np.array([[0], [10], [1], [11], [2], [12]])
    assert half_split(pairs, 1).ravel().tolist() == [0, 1, 2, 10, 11, 12]
    two_heads = np.concatenate([pairs, pairs + 100])
    assert half_split(two_heads, 2).ravel().tolist() == [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]
    assert half_split(interleave(two_heads, 2), 2).tolist() == two_heads.tolist()


def rotated_scores(q: np.ndarray, k: np.ndarray, base: float, paired: bool) -> np.ndarray:
    """RoPE by complex numbers, in either layout, in float64: [pos, d] twice -> [pos, pos]. An own reference."""
    d = q.shape[-1]
    angle = np.arange(len(q))[:, None] * base ** (-2 * np.arange(d // 2) / d)[None]

    def turn(x: np.ndarray) -> np.ndarray:
        z = x[:, 0::2] + 1j * x[:, 1::2] if paired else x[:, : d // 2] + 1j * x[:, d // 2 :]
        return z * np.exp(1j * angle)

    return (turn(q) @ turn(k).conj().T).real


def test_the_layouts_are_told_apart(tmp_path: Path) -> None:
    """Scores computed in pairs from the GGUF's own rows equal the model's, and those in halves differ wildly."""
    config = write_tiny_gguf(tmp_path / "m.gguf", "llama-mha", rope_base=100.0)
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    model = Model(checkpoint.config, Parameters(checkpoint.config, checkpoint.read))
    trace = model.trace(some_ids(12))
    x = np.asarray(trace["blocks.0.ln1.out"], np.float64)
    rows = gguf_tensors(config, stored_parameters(config))
    for head in range(config.n_head):
        own = slice(head * config.d_head, (head + 1) * config.d_head)
        q, k = (x @ rows[f"blk.0.attn_{part}.weight"][own].T.astype(np.float64) for part in "qk")
        expected = rotated_scores(q, k, config.rope_base, paired=True)
        wrong = rotated_scores(q, k, config.rope_base, paired=False)
        scores = trace["blocks.0.attn.qk"][head]
        seen = np.tril(np.ones_like(scores, bool))
        assert np.abs(scores - expected)[seen].max() < 1e-4 * np.abs(expected).max()
        assert np.abs(scores - wrong)[seen].max() > 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("shape", "permuted"),
    [("llama", True), ("mistral", True), ("qwen2", False), ("qwen3", False), ("gpt2", False)],
)
def test_which_architectures_are_permuted(tmp_path: Path, shape: str, permuted: bool) -> None:
    """The bytes of Q's rows as the file has them, against what is read."""
    config = write_tiny_gguf(tmp_path / "m.gguf", shape)
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    tensors = gguf_tensors(config, stored_parameters(config))
    width = config.n_head * config.d_head
    in_file = tensors["blk.1.attn_qkv.weight"][:width] if shape == "gpt2" else tensors["blk.1.attn_q.weight"]
    read = checkpoint.read("blocks.1.attn.W_Q").T
    assert np.array_equal(read, in_file) is not permuted
    assert np.array_equal(np.sort(read, axis=0), np.sort(in_file, axis=0))


def test_packed_rows_are_moved_whole(tmp_path: Path) -> None:
    """Q4_1 rows un-permuted as bytes equal the dequantised rows un-permuted."""
    config = write_tiny_gguf(tmp_path / "m.gguf", "llama", d_model=64)
    tensors = {name: encode(a, "F32") for name, a in gguf_tensors(config, stored_parameters(config)).items()}
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 256, (config.n_head * config.d_head, 40), dtype=np.uint8)
    raw[:, [1, 3, 21, 23]] &= 0x3B  # finite scales
    tensors["blk.0.attn_q.weight"] = ("Q4_1", (len(raw), 64), raw.tobytes())
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(gguf_metadata(config), tensors))
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    rows, dtype = checkpoint.stored_rows("blocks.0.attn.W_Q")
    assert dtype == "Q4_1" and np.array_equal(rows, half_split(raw, config.n_head))
    plain = dequantize(raw, "Q4_1")
    assert np.array_equal(checkpoint.read("blocks.0.attn.W_Q"), half_split(plain, config.n_head).T)


def test_a_packed_fused_bias_is_refused(tmp_path: Path) -> None:
    """Its parts need not begin where blocks do."""
    config = write_tiny_gguf(tmp_path / "m.gguf", "gpt2")
    tensors = {name: encode(a, "F32") for name, a in gguf_tensors(config, stored_parameters(config)).items()}
    tensors["blk.0.attn_qkv.bias"] = ("Q8_0", (96,), bytes(3 * 34))
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(gguf_metadata(config), tensors))
    with pytest.raises(BadCheckpoint, match=r'packs "blk\.0\.attn_qkv\.bias" as Q8_0'):
        open_checkpoint(tmp_path / "m.gguf")


# ---- what the tensors say about the configuration ----


def test_rope_factors_come_from_their_tensor(tmp_path: Path) -> None:
    config = write_tiny_gguf(tmp_path / "m.gguf", "llama")
    tensors = {name: encode(a, "F32") for name, a in gguf_tensors(config, stored_parameters(config)).items()}
    tensors["rope_freqs.weight"] = encode(np.float32([1, 1, 2.5, 8]), "F32")
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(gguf_metadata(config), tensors))
    assert open_checkpoint(tmp_path / "m.gguf").config.rope_scaling == RopeScaling("factors", factors=(1, 1, 2.5, 8))


def rewritten(path: Path, config: ModelConfig, change: object) -> None:
    tensors = {name: encode(a, "F32") for name, a in hf_tensors(config, stored_parameters(config)).items()}
    change(tensors)  # type: ignore[operator]
    (path / "model.safetensors").write_bytes(safetensors_bytes(tensors))


def test_missing_extra_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "llama")
    name = "model.layers.1.mlp.up_proj.weight"
    rewritten(tmp_path, config, lambda t: t.pop(name))
    with pytest.raises(BadCheckpoint, match=r'lacks the tensor "model.layers.1.mlp.up_proj.weight"'):
        open_checkpoint(tmp_path)
    rewritten(tmp_path, config, lambda t: t.update({name: encode(np.zeros((48, 31), np.float32), "F32")}))
    with pytest.raises(BadCheckpoint, match=r"in the shape \[48, 31\], and its configuration asks for \[48, 32\]"):
        open_checkpoint(tmp_path)
    extra = "model.layers.0.self_attn.q_proj.bias"
    rewritten(tmp_path, config, lambda t: t.update({extra: encode(np.zeros(32, np.float32), "F32")}))
    with pytest.raises(BadCheckpoint, match=r"q_proj.bias.*does not have"):
        open_checkpoint(tmp_path)
    rewritten(tmp_path, config, lambda t: t.update({name: ("F64", (48, 32), bytes(48 * 32 * 8))}))
    with pytest.raises(BadCheckpoint, match=r"as F64"):
        open_checkpoint(tmp_path)


def test_a_tied_folder_may_carry_the_head_all_the_same(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, "llama", tied=True)
    rewritten(tmp_path, config, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config.tied and "W_U" not in checkpoint.names
    assert checkpoint.file_parameter_count == sum(p.size for p in declared_parameters(config).values())


def test_folders_and_ggufs_compute_the_same(tmp_path: Path) -> None:
    """Through the whole model: one set of weights, two files, the same logits to the bit."""
    for shape in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
        write_tiny(tmp_path / shape, shape, norm_eps=2.0**-17)  # exact in float32, as GGUF keeps it
        write_tiny_gguf(tmp_path / f"{shape}.gguf", shape, norm_eps=2.0**-17)
        models = []
        for path in (tmp_path / shape, tmp_path / f"{shape}.gguf"):
            checkpoint = open_checkpoint(path)
            models.append(Model(checkpoint.config, Parameters(checkpoint.config, checkpoint.read)))
        a, b = (model.trace(some_ids(9)).logits(position=-1) for model in models)
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max(), shape
