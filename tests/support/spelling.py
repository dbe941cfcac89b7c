"""A tiny model with a tokenizer, on disk: every byte is a piece of its own, so any text can be cut and joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cutaway.config import ModelConfig
from cutaway.tokenizers.pieces import CHARACTER
from tests.support.folders import write_tiny

END = 256


def write_tiny_speller(folder: Path, architecture: str = "llama", **overrides: Any) -> ModelConfig:
    """A folder as transformers writes it: tokens 0 to 255 are the bytes, 256 is <|endoftext|>."""
    config = write_tiny(folder, architecture, n_vocab=257, **overrides)
    vocabulary = {CHARACTER[byte]: byte for byte in range(256)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    end = {"id": END, "content": "<|endoftext|>", "special": True, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**end, "single_word": False, "lstrip": False, "rstrip": False}],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary | {"<|endoftext|>": END}, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return config
