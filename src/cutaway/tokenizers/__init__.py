"""Text to ids and back: from a `tokenizer.json` or from a GGUF file's metadata, with every piece's bytes.

tokenizer = load_tokenizer(gguf_metadata=metadata)
tokenizer.encode("Data visualization empowers users to")   # [5127, 15171, 18766, 3629, 288]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cutaway.errors import BadTokenizer
from cutaway.tokenizers.from_gguf import from_gguf
from cutaway.tokenizers.merges import Merge, PieceMerges
from cutaway.tokenizers.pieces import Token
from cutaway.tokenizers.tokenizer import StreamDecoder, Tokenizer

__all__ = ["Merge", "PieceMerges", "StreamDecoder", "Token", "Tokenizer", "load_tokenizer"]


def load_tokenizer(
    *,
    tokenizer_json: Path | None = None,
    gguf_metadata: Mapping[str, Any] | None = None,
    tokenizer_config: Mapping[str, Any] | None = None,
    late: bool = False,
) -> Tokenizer:
    """A tokenizer from a `tokenizer.json` (and the content of `tokenizer_config.json`), or from a GGUF's metadata.

    `late`: a GGUF's merges are looked at when they are needed; a short first text does without the tables.
    Raises `BadTokenizer`: neither is given, or what is given is damaged or of an unknown kind.
    """
    if tokenizer_json is not None:
        from cutaway.tokenizers.from_json import from_json

        return from_json(tokenizer_json, tokenizer_config or {})
    if gguf_metadata is not None:
        return from_gguf(gguf_metadata, late=late)
    raise BadTokenizer("there is no tokenizer.json and no GGUF metadata; a model without a tokenizer runs on ids.")
