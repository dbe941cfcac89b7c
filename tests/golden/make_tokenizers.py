"""Makes tests/golden/tokenizers/*.json: ids that others gave, for texts that are hard to cut.

    python -m tests.golden.make_tokenizers PATH_OF_THE_DEFAULT_MODEL.gguf

- gpt-2, llama-bpe, qwen2, llama-spm: llama.cpp's own ids (its `.out` files) on a small part of its vocabularies:
  every piece that is a part of the corpus, and every merge of such pieces in their order, so that the corpus is cut
  as by the whole vocabulary. Ids are counted anew.
- smollm2: ids of transformers, from the default model's own vocabulary, with the word rule that SmolLM's
  tokenizer.json declares (single digits, then GPT-2's); transformers' GGUF reader leaves the digits out.

Needs transformers, gguf and the network (llama.cpp's files come with pip).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cutaway.tokenizers.pieces import BYTE_PIECE, CHARACTER, SPACE_MARK
from cutaway.weights.gguf import GGUFFile
from tests.golden.corpus import HARD
from tests.support.vocabularies import cases, fetch

HERE = Path(__file__).parent / "tokenizers"
KEPT = ("model", "pre", "bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token", "add_space_prefix")


def part(folder: Path, name: str) -> dict[str, Any]:
    """A small vocabulary that cuts the corpus as the whole one does, with llama.cpp's ids."""
    metadata = dict(GGUFFile(folder / f"ggml-vocab-{name}.gguf").metadata)
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    rows = cases(folder, name)
    byte_level = metadata["tokenizer.ggml.model"] == "gpt2"
    corpus = "\0".join(
        "".join(CHARACTER[byte] for byte in text.encode("utf-8"))
        if byte_level
        else SPACE_MARK + text.replace(" ", SPACE_MARK)
        for text, _ in rows
    )
    special = {metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("bos", "eos", "unknown")}
    kept = [
        id
        for id, piece in enumerate(tokens)
        if id in special or piece in CHARACTER.values() or BYTE_PIECE.match(piece) or piece in corpus
    ]
    new = {old: at for at, old in enumerate(kept)}
    pieces = {tokens[id] for id in kept}
    small: dict[str, Any] = {"general.architecture": metadata["general.architecture"]}
    for key in KEPT:
        value = metadata.get(f"tokenizer.ggml.{key}")
        if value is not None:
            small[f"tokenizer.ggml.{key}"] = new[value] if key.endswith("_id") else value
    small["tokenizer.ggml.tokens"] = [tokens[id] for id in kept]
    small["tokenizer.ggml.token_type"] = [types[id] for id in kept]
    if byte_level:
        merges = (merge.split(" ") for merge in metadata["tokenizer.ggml.merges"])
        small["tokenizer.ggml.merges"] = [f"{a} {b}" for a, b in merges if {a, b, a + b} <= pieces]
    else:
        small["tokenizer.ggml.scores"] = [metadata["tokenizer.ggml.scores"][id] for id in kept]
    return {"metadata": small, "cases": [{"text": text, "ids": [new[id] for id in ids]} for text, ids in rows]}


def smollm2(path: Path) -> list[dict[str, Any]]:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    reference.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made = []
    for text in HARD:
        ids = reference(text).input_ids
        made.append({"text": text, "ids": ids, "decoded": reference.decode(ids, clean_up_tokenization_spaces=False)})
    return made


def write(name: str, content: object) -> None:
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n", encoding="ascii")


if __name__ == "__main__":
    for name in ("gpt-2", "llama-bpe", "qwen2", "llama-spm"):
        write(name, part(fetch(), name))
    write("smollm2", smollm2(Path(sys.argv[1])))
