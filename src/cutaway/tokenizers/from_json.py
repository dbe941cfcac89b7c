"""A tokenizer from a `tokenizer.json`, with what `tokenizer_config.json` says beside it.

The file sets up Hugging Face `tokenizers` itself; here it is checked, and what Cutaway shows is read from it: how
pieces spell bytes, the merges, the special tokens, what the model's own tokenizer puts around a text. The
configuration is read as transformers' `PreTrainedTokenizerFast` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from cutaway.errors import BadTokenizer
from cutaway.tokenizers.merges import Merges
from cutaway.tokenizers.pieces import Spelling
from cutaway.tokenizers.tokenizer import ENDS, MAX_VOCABULARY, Tables, Tokenizer, Vocabulary, twin

MAX_BYTES = 512 * 2**20
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def from_json(path: Path, config: Mapping[str, Any]) -> Tokenizer:
    """Raises `BadTokenizer` when the file is missing, damaged or of an unknown kind."""
    raw = _read(path)
    try:
        declared = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadTokenizer(f"{path.name} is not JSON ({error}); download it again.") from None
    if not isinstance(declared, dict) or not isinstance(declared.get("model"), dict):
        raise BadTokenizer(f'{path.name} has no "model"; expected a file that Hugging Face tokenizers wrote.')
    backend = _backend(raw, path.name)
    backend.no_truncation()
    backend.no_padding()
    if getattr(backend.model, "dropout", None):
        backend.model.dropout = None  # random merges are for training
    _add_configured(backend, config)
    added = sorted(backend.get_added_tokens_decoder().items())
    n_vocab = 1 + max([*_ids(declared["model"].get("vocab")), *(id for id, _ in added)], default=-1)
    if not 1 <= n_vocab <= MAX_VOCABULARY:
        raise BadTokenizer(f"{path.name} has token ids up to {n_vocab - 1}; expected 1 to {MAX_VOCABULARY:,} tokens.")
    literal = twin(backend, added)
    if any(literal.token_to_id(token.content) != id for id, token in added):  # ids with gaps: read it again
        literal = _backend(raw, path.name)
        _add_configured(literal, config)
        literal.encode_special_tokens = True
    bos, eos, unk, pad = (_named_id(backend, config, f"{name}_token") for name in ("bos", "eos", "unk", "pad"))
    prefix, suffix = _around(backend, config, bos, eos)
    if bos is None and prefix:
        bos = prefix[0]
    ends = {id for id, token in added if token.content in ENDS} - {eos}
    tables = Tables(backend, literal, _merges(declared["model"], path.name))
    return Tokenizer(
        Vocabulary(
            tables=lambda: tables,
            piece=backend.id_to_token,
            spelling=_spelling(declared),
            n_vocab=n_vocab,
            added={id: (token.content, token.special) for id, token in added},
            bos_id=bos,
            eos_ids=(() if eos is None else (eos,)) + tuple(sorted(ends)),
            unk_id=unk if unk is not None else _unk_of(backend, declared["model"]),
            pad_id=pad,
            prefix=prefix,
            suffix=suffix,
            chat_template=_chat_template(config),
        )
    )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadTokenizer(f"{path.name} has more than {MAX_BYTES:,} bytes; that is no tokenizer.json.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadTokenizer(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise BadTokenizer(f"{path.name} is not UTF-8 text; download it again.") from None


def _backend(raw: str, name: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(raw)
    except BaseException as error:  # a panic of the Rust library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise BadTokenizer(f"{name} is not a tokenizer that Hugging Face tokenizers can read: {error}.") from None


def _add_configured(backend: tokenizers.Tokenizer, config: Mapping[str, Any]) -> None:
    """The added tokens that only `tokenizer_config.json` names, in its order; named ones are special."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    found: list[AddedToken] = []
    listed = config.get("added_tokens_decoder")
    if isinstance(listed, Mapping):
        entries = [(int(id), token) for id, token in listed.items() if str(id).isdecimal()]
        for _, token in sorted(entries, key=lambda entry: entry[0]):
            if isinstance(token, Mapping) and (content := _content(token)):
                flags = {key: bool(token.get(key)) for key in ("single_word", "lstrip", "rstrip", "special")}
                found.append(AddedToken(content, normalized=bool(token.get("normalized", False)), **flags))
    more = config.get("additional_special_tokens")
    for value in [*(config.get(name) for name in NAMED), *(more if isinstance(more, list) else ())]:
        if content := _content(value):
            found.append(AddedToken(content, special=True, normalized=False))
    fresh: dict[str, AddedToken] = {}
    for token in found:
        if token.content not in known:
            fresh.setdefault(token.content, token)
    backend.add_tokens(list(fresh.values()))


def _content(value: object) -> str | None:
    """A special token is written as its text, or as a mapping with `content`."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _named_id(backend: tokenizers.Tokenizer, config: Mapping[str, Any], name: str) -> int | None:
    content = _content(config.get(name))
    return None if content is None else backend.token_to_id(content)


def _around(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any], bos: int | None, eos: int | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids before and after a text: the flags decide where there are any, else the file's post-processor."""
    if "add_bos_token" in config or "add_eos_token" in config or backend.post_processor is None:
        before = (bos,) if config.get("add_bos_token") and bos is not None else ()
        after = (eos,) if config.get("add_eos_token") and eos is not None else ()
        return before, after
    encoding = backend.encode("a", add_special_tokens=True)
    own = [at for at, mask in enumerate(encoding.special_tokens_mask) if not mask]
    if not own:
        return tuple(encoding.ids), ()
    return tuple(encoding.ids[: own[0]]), tuple(encoding.ids[own[-1] + 1 :])


def _spelling(declared: Mapping[str, Any]) -> Spelling:
    kinds = set(_kinds(declared.get("decoder"))) or set(_kinds(declared.get("pre_tokenizer")))
    if "ByteLevel" in kinds:
        return "byte-level"
    if "ByteFallback" in kinds:
        return "sentencepiece"
    return "metaspace" if "Metaspace" in kinds else "plain"


def _kinds(stage: object) -> Iterator[str]:
    if isinstance(stage, Mapping):
        yield str(stage.get("type"))
        for part in (*(stage.get("decoders") or ()), *(stage.get("pretokenizers") or ())):
            yield from _kinds(part)


def _merges(model: Mapping[str, Any], name: str) -> Merges | None:
    listed = model.get("merges")
    if not isinstance(listed, list) or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return None  # pieces of those models are not the joined text of their parts
    pairs: list[tuple[str, str]] = []
    for merge in listed:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if len(parts) != 2:
            raise BadTokenizer(f"{name} has the merge {merge!r}; expected two pieces.")
        pairs.append((parts[0], parts[1]))
    return Merges(pairs, byte_fallback=bool(model.get("byte_fallback")))


def _ids(vocab: object) -> list[int]:
    if isinstance(vocab, Mapping):
        return [int(id) for id in vocab.values()]
    return [len(vocab) - 1] if isinstance(vocab, list) else []


def _unk_of(backend: tokenizers.Tokenizer, model: Mapping[str, Any]) -> int | None:
    if isinstance(model.get("unk_id"), int):  # unigram
        return int(model["unk_id"])
    token = model.get("unk_token")
    return backend.token_to_id(token) if isinstance(token, str) else None


def _chat_template(config: Mapping[str, Any]) -> str | None:
    """The template; of several named ones the one called "default"."""
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, Mapping)}
        template = named.get("default")
    if template is not None and not isinstance(template, str):
        raise BadTokenizer(f"chat_template is a {type(template).__name__}; expected text.")
    return template
