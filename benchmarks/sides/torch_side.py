"""transformers, on the weights that Cutaway runs (dequantised) or on a folder that both open."""

from __future__ import annotations

import time
from typing import Any

import torch
import transformers

import cutaway
from tests.support.transformers_twin import twin


class Work:
    """`path`: a model file, opened by Cutaway and handed over in float32; or `folder`: opened by transformers itself,
    in `dtype`. `attention`: "eager" gives attentions, "sdpa" is transformers' own choice for speed."""

    def __init__(
        self,
        threads: int,
        path: str | None = None,
        folder: str | None = None,
        dtype: str = "float32",
        attention: str = "eager",
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        if folder is None:
            ours = cutaway.load(path)
            self.model = twin(ours.config, ours.parameters)
        else:
            self.model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, dtype), attn_implementation=attention
            ).eval()

    def about(self) -> dict[str, Any]:
        return {"version": f"transformers {transformers.__version__}, torch {torch.__version__}"}

    def captured(self, ids: list[int]) -> dict[str, Any]:
        """One pass; attentions, hidden states and logits as arrays, alive until the clock stops."""
        began = time.perf_counter()
        out = self.model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True, use_cache=False)
        held = [each.numpy() for each in (*out.attentions, *out.hidden_states, out.logits)]
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "arrays": len(held), "bytes": sum(each.nbytes for each in held)}

    def prefill(self, ids: list[int]) -> dict[str, Any]:
        """One pass over `ids`, from an empty cache to the last position's logits."""
        given = torch.tensor([ids])
        began = time.perf_counter()
        out = self.model(given, use_cache=True, logits_to_keep=1)
        best = int(out.logits[0, -1].argmax())
        return {"seconds": time.perf_counter() - began, "best": best}

    def decode(self, ids: list[int], n: int) -> dict[str, Any]:
        """`n` greedy steps behind `ids`, which are read before the clock runs: the model's own forward, without the
        layers that `generate` puts around it."""
        out = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        best = out.logits[0, -1].argmax()
        said = [best]
        began = time.perf_counter()
        for _ in range(n):
            out = self.model(best.view(1, 1), past_key_values=out.past_key_values, use_cache=True)
            best = out.logits[0, -1].argmax()
            said.append(best)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "ids": [int(each) for each in said]}
