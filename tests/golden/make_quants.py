"""Makes quants.npz and small.gguf/small.npz with the reference package: python tests/golden/make_quants.py

quants.npz: for every type, seeded random blocks (TYPE.raw) and what gguf makes of them (TYPE.weights).
small.gguf: a file from gguf's own writer and quantisers; small.npz: its tensors as gguf reads and dequantises them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize
from gguf.constants import GGML_QUANT_SIZES

HERE = Path(__file__).parent
TYPES = "F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL".split()  # noqa: SIM905
WRITTEN = {"a.f32": "F32", "a.f16": "F16", "a.bf16": "BF16", "a.q8_0": "Q8_0", "a.q4_1": "Q4_1", "a.q5_0": "Q5_0"}


def quants() -> None:
    rng = np.random.default_rng(20)
    arrays = {}
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        weights, n_bytes = GGML_QUANT_SIZES[kind]
        # enough bytes to see every nibble in every place; scales of all signs and sizes, infinite ones too
        raw = rng.integers(0, 256, (2, n_bytes * max(1, 512 // weights)), dtype=np.uint8)
        arrays[f"{name}.raw"] = raw
        with np.errstate(all="ignore"):
            arrays[f"{name}.weights"] = dequantize(raw, kind).astype(np.float32)
    np.savez_compressed(HERE / "quants.npz", **arrays)


def small() -> None:
    rng = np.random.default_rng(21)
    path = HERE / "small.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint32("a.count", 7)
    writer.add_float32("a.number", -2.5)
    writer.add_bool("a.truth", True)
    writer.add_string("a.text", "naïve")
    writer.add_array("a.ids", [1, -2, 3])
    writer.add_array("a.pieces", ["x", "", "Ġé", "p" * 300, "end"])
    writer.add_custom_alignment(64)
    for name, kind in WRITTEN.items():
        values = rng.normal(size=(3, 64)).astype(np.float32)
        writer.add_tensor(name, quantize(values, GGMLQuantizationType[kind]), raw_dtype=GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}
    np.savez_compressed(HERE / "small.npz", **read)


if __name__ == "__main__":
    quants()
    small()
