"""Writes tests/golden/sampling.safetensors: what transformers' logits processors make of some logits.

python -m tests.golden.make_sampling        (needs the `yardsticks` extra)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cutaway import framing

HERE = Path(__file__).parent
N_VOCAB = 64

CASES: tuple[dict[str, Any], ...] = (
    {"temperature": 0.7},
    {"temperature": 1.0, "top_k": 10},
    {"temperature": 1.0, "top_p": 0.8},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 1.0, "repetition_penalty": 1.3},
    {"temperature": 0, "repetition_penalty": 0.8},
    {"temperature": 1.5, "top_k": 30, "top_p": 0.9},
    {"temperature": 0.5, "top_p": 0.95, "min_p": 0.02},
    {"temperature": 1.2, "top_k": 40, "top_p": 0.85, "min_p": 0.05, "repetition_penalty": 1.2},
    {"temperature": 0.3, "top_k": 1},
    {"temperature": 3.0, "top_k": 1000, "top_p": 1.0, "min_p": 0.0},
)


def inputs(case: int, n_vocab: int) -> tuple[np.ndarray, list[int]]:
    """Logits, and the ids of a text so far (some twice)."""
    rng = np.random.default_rng([3, case])
    return rng.normal(0, 3, n_vocab).astype(np.float32), [int(i) for i in rng.integers(0, n_vocab, 12)]


def reference(settings: dict[str, Any], logits: np.ndarray, ids: list[int]) -> tuple[np.ndarray, list[str]]:
    """The processors that transformers itself sets up for these settings, in its order: scores and their names."""
    import torch
    import transformers

    tiny = transformers.LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    greedy = settings["temperature"] == 0
    wanted = {name: value for name, value in settings.items() if not (greedy and name == "temperature")}
    config = transformers.GenerationConfig(do_sample=not greedy, **{"top_k": 0, **wanted})
    processors = transformers.LlamaForCausalLM(tiny)._get_logits_processor(config, input_ids_seq_length=len(ids))
    scores = processors(torch.tensor([ids]), torch.from_numpy(logits.copy())[None])
    return scores[0].numpy(), [type(each).__name__ for each in processors]


def main() -> None:
    import transformers

    tensors = {}
    for case, settings in enumerate(CASES):
        logits, ids = inputs(case, N_VOCAB)
        scores, _ = reference(settings, logits, ids)
        tensors[f"{case}.logits"] = logits
        tensors[f"{case}.ids"] = np.asarray(ids, dtype=np.int32)
        tensors[f"{case}.scores"] = scores
    notes = {"made_by": f"transformers {transformers.__version__}", "cases": json.dumps(CASES)}
    framing.write(HERE / "sampling.safetensors", tensors, notes)


if __name__ == "__main__":
    main()
