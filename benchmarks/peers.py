"""The yardsticks, on the very weights that Cutaway runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import cutaway
from tests.support.transformers_twin import twin

# What TransformerLens calls differently; every other `hook_` name is ours without the prefix.
SAME_VALUE = {"embed.hook_out": "embed", "unembed.hook_out": "logits", "hook_unembed": "logits"}


@contextlib.contextmanager
def transformer_lens(model: cutaway.Model) -> Iterator[Any]:
    """TransformerLens' bridge over a `transformers` model with our dequantised weights."""
    import transformers
    from transformer_lens.model_bridge import TransformerBridge

    reference = twin(model.config, model.parameters)
    reference.config.architectures = ["LlamaForCausalLM"]
    assert model.tokenizer is not None
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=model.tokenizer._vocabulary.backend, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    with tempfile.TemporaryDirectory() as folder:
        reference.config.save_pretrained(folder)
        wrapped.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        yield TransformerBridge.boot_transformers(folder, hf_model=reference, tokenizer=tokenizer)


def our_names(model: cutaway.Model, peer_keys: list[str]) -> list[str]:
    """Our sites for what the peer's cache holds, so that both sides give the same arrays."""
    found = set()
    for key in peer_keys:
        if key in SAME_VALUE:
            found.add(SAME_VALUE[key])
            continue
        head, _, last = key.rpartition(".")
        name = f"{head}.{last.removeprefix('hook_')}".lstrip(".")
        if name in model.sites:
            found.add(name)
    return [name for name in model.sites if name in found]
