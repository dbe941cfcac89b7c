"""`python web/e2e/make_models.py FOLDER`: tiny models with tokenizers, for the browser tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.spelling import write_tiny_speller

# grouped queries: four query heads over two key/value heads
SHAPES: dict[str, dict[str, object]] = {
    "tiny-gpt2": {"architecture": "gpt2"},
    "tiny-llama": {"architecture": "llama", "n_head": 4, "n_kv_head": 2},
    # with room for what the page calls a long text
    "tiny-long-gpt2": {"architecture": "gpt2", "n_ctx": 520},
    "tiny-long-llama": {"architecture": "llama", "n_head": 4, "n_kv_head": 2, "n_ctx": 520},
}

if __name__ == "__main__":
    for name, shape in SHAPES.items():
        write_tiny_speller(Path(sys.argv[1]) / name, **shape)  # type: ignore[arg-type]
