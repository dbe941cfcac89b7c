"""A tokenizer from the metadata of a GGUF file alone.

`tokenizer.ggml.model` names the kind: "gpt2" is byte-level BPE, cut into words by the rule that
`tokenizer.ggml.pre` names; "llama" is SentencePiece BPE, whose merges follow from the pieces' scores. The rules are
those of the models' own tokenizers, so the ids are too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from cutaway.errors import BadTokenizer, did_you_mean
from cutaway.tokenizers.first import within
from cutaway.tokenizers.merges import Merges
from cutaway.tokenizers.pieces import SPACE_MARK, Spelling
from cutaway.tokenizers.tokenizer import ENDS, MAX_VOCABULARY, Once, Tables, Tokenizer, Vocabulary, twin

# tokenizer.ggml.token_type
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# A word, as Llama 3 and Qwen 2 cut text: contraction | letters | digits | other signs | line ends | spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _single_digits() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _llama3() -> pre_tokenizers.PreTokenizer:
    return _split(_WORDS % "{1,3}")


def _qwen2() -> pre_tokenizers.PreTokenizer:
    return _split(_WORDS % "")


# How `tokenizer.ggml.pre` cuts text into words.
PRE_TOKENIZERS = {
    "gpt-2": _gpt2,
    "gpt2": _gpt2,
    "mpt": _gpt2,
    "smollm": _single_digits,
    "starcoder": _single_digits,
    "refact": _single_digits,
    "llama-bpe": _llama3,
    "llama3": _llama3,
    "llama-v3": _llama3,
    "qwen2": _qwen2,
    "deepseek-r1-qwen": _qwen2,
}
# Takes a word that is in the vocabulary as it is, and starts a text with BOS where the file does not say.
LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
# Composes characters first (é = e + ́), as the Qwen tokenizers do.
COMPOSED = ("qwen2",)
# Files written before `tokenizer.ggml.pre` existed: only what the architecture settles.
OF_ARCHITECTURE = {"gpt2": "gpt-2", "qwen2": "qwen2", "qwen3": "qwen2"}


def from_gguf(metadata: Mapping[str, Any], *, late: bool = False) -> Tokenizer:
    """Raises `BadTokenizer` when the metadata is incomplete, contradicts itself or names an unknown kind.

    `late`: the tables are built when a second text comes; what is wrong with the merges is told then.
    """
    model = _value(metadata, "model", str)
    if model is None:
        raise BadTokenizer(
            "the GGUF metadata has no tokenizer.ggml.model, so the file carries no tokenizer; run it on token ids."
        )
    if model not in BUILDERS:
        raise BadTokenizer(
            f'unknown tokenizer.ggml.model "{model}"{did_you_mean(model, BUILDERS)} Cutaway reads "gpt2" (byte-level'
            ' BPE) and "llama" (SentencePiece BPE).'
        )
    vocabulary = BUILDERS[model](metadata)
    if not late:
        vocabulary.tables()
    return Tokenizer(vocabulary)


def _byte_level(metadata: Mapping[str, Any]) -> Vocabulary:
    pre = _value(metadata, "pre", str)
    if pre is None or pre == "default":
        pre = OF_ARCHITECTURE.get(str(metadata.get("general.architecture")), pre)
    if pre not in PRE_TOKENIZERS:
        said = "no tokenizer.ggml.pre" if pre is None else f'an unknown tokenizer.ggml.pre "{pre}"'
        known = ", ".join(PRE_TOKENIZERS)
        raise BadTokenizer(f"the GGUF metadata has {said}; Cutaway knows {known}; use a tokenizer.json instead.")
    pieces, types = _pieces(metadata)
    unusual = _unusual(types)
    # What is taken as a whole word may not be a control token: Llama 3 keeps those outside of the model.
    n_model = len(pieces)
    while pre in LLAMA3 and n_model > 1 and types[n_model - 1] == CONTROL:
        n_model -= 1
    # No plain text may become a control token by merging.
    forbidden = {pieces[id] for id in unusual if types[id] in (CONTROL, UNKNOWN)}

    def backend(ids: dict[str, int], pairs: list[tuple[str, str]]) -> tokenizers.Tokenizer:
        if not forbidden.isdisjoint(map("".join, pairs)):
            pairs = [pair for pair in pairs if pair[0] + pair[1] not in forbidden]
        made = tokenizers.Tokenizer(_bpe(ids, pairs, ignore_merges=pre in LLAMA3))
        if pre in COMPOSED:
            made.normalizer = normalizers.NFC()
        made.pre_tokenizer = PRE_TOKENIZERS[pre]()
        made.decoder = decoders.ByteLevel()
        return made

    def machine() -> tuple[tokenizers.Tokenizer, Merges]:
        ids, pairs = _ids(pieces), _pairs(_texts(metadata, "merges"))
        while len(ids) > n_model:
            ids.popitem()
        return backend(ids, pairs), Merges(pairs, byte_fallback=False)

    def first(text: str) -> list[int] | None:
        if any(pieces[id] in text for id in unusual):
            return None
        plain = normalizers.NFC().normalize_str(text) if pre in COMPOSED else text
        words = [word for word, _ in PRE_TOKENIZERS[pre]().pre_tokenize_str(plain)]
        few = within(words, pieces[:n_model] if n_model < len(pieces) else pieces, _texts(metadata, "merges"))
        return None if few is None else list(backend(*few).encode(text, add_special_tokens=False).ids)

    return _finished(metadata, machine, "byte-level", pieces, types, unusual, first, add_bos=pre in LLAMA3)


def _sentencepiece(metadata: Mapping[str, Any]) -> Vocabulary:
    pieces, types = _pieces(metadata)
    scores = _numbers(metadata, "scores", len(pieces))
    unk = _id(metadata, "unknown_token_id", len(pieces))
    if unk is None and UNKNOWN in types:
        unk = types.index(UNKNOWN)
    prefixed = _value(metadata, "add_space_prefix", bool)

    def machine() -> tuple[tokenizers.Tokenizer, Merges]:
        ids = _ids(pieces)
        mergeable = {piece: id for piece, id in ids.items() if types[id] in (NORMAL, UNUSED)}
        # SentencePiece joins the neighbours whose union scores best: that is BPE with every split of every piece as
        # a merge, best piece first. Equal scores (some files have only one) fall back on the order of the vocabulary.
        found: list[tuple[float, int, int, str, str]] = []
        for piece, id in mergeable.items():
            for cut in range(1, len(piece)):
                left, right = piece[:cut], piece[cut:]
                if left in mergeable and right in mergeable:
                    found.append((-scores[id], id, -cut, left, right))
        found.sort()
        pairs = [(left, right) for *_, left, right in found]
        backend = tokenizers.Tokenizer(
            _bpe(ids, pairs, byte_fallback=True, fuse_unk=True, unk_token=None if unk is None else pieces[unk])
        )
        marks = normalizers.Replace(" ", SPACE_MARK)
        steps = [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
        if prefixed is False:
            backend.normalizer = marks
        else:
            backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE_MARK), marks])
            steps.append(decoders.Strip(content=" ", left=1, right=0))
        backend.decoder = decoders.Sequence(steps)
        return backend, Merges(pairs, byte_fallback=True)

    return _finished(metadata, machine, "sentencepiece", pieces, types, _unusual(types), None, add_bos=True)


BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}


def _finished(
    metadata: Mapping[str, Any],
    machine: Callable[[], tuple[tokenizers.Tokenizer, Merges]],
    spelling: Spelling,
    pieces: Sequence[str],
    types: Sequence[int],
    unusual: Sequence[int],
    first: Callable[[str], list[int] | None] | None,
    add_bos: bool,
) -> Vocabulary:
    n_vocab = len(pieces)
    eos = _id(metadata, "eos_token_id", n_vocab)
    bos = _id(metadata, "bos_token_id", n_vocab)
    ends = {eos, *(_id(metadata, f"{name}_token_id", n_vocab) for name in ("eot", "eom"))} - {None}
    ends |= {id for id in unusual if types[id] != UNKNOWN and pieces[id] in ENDS}
    added: list[tuple[int, AddedToken]] = []
    for id in unusual:
        piece, kind = pieces[id], types[id]
        if piece:
            marked = kind != USER_DEFINED or id in ends or (piece.startswith("<|") and piece.endswith("|>"))
            added.append((id, AddedToken(piece, special=marked, normalized=False)))
    said = _value(metadata, "add_bos_token", bool)
    prefix = (bos,) if bos is not None and (add_bos if said is None else said) else ()
    suffix = (eos,) if eos is not None and _value(metadata, "add_eos_token", bool) else ()
    ends_first = [eos] if eos is not None else []

    def tables() -> Tables:
        backend, merges = machine()
        backend.add_tokens([token for _, token in added])
        for id, token in added:
            if backend.token_to_id(token.content) != id:
                raise BadTokenizer(f"the special token {token.content!r} (id {id}) does not fit into the vocabulary.")
        return Tables(backend, twin(backend, added), merges)

    return Vocabulary(
        tables=Once(tables),
        piece=lambda id: pieces[id] if 0 <= id < n_vocab else None,
        spelling=spelling,
        n_vocab=n_vocab,
        added={id: (token.content, token.special) for id, token in added},
        first=first,
        bos_id=bos,
        eos_ids=tuple(ends_first + sorted(id for id in ends if id is not None and id != eos)),
        unk_id=_id(metadata, "unknown_token_id", n_vocab),
        pad_id=_id(metadata, "padding_token_id", n_vocab),
        prefix=prefix,
        suffix=suffix,
        chat_template=_template(metadata),
    )


def _unusual(types: Sequence[int]) -> list[int]:
    """The ids of pieces that are no plain text, in their order."""
    return list(compress(range(len(types)), map({CONTROL, UNKNOWN, USER_DEFINED}.__contains__, types)))


def _pairs(merges: list[str]) -> list[tuple[str, str]]:
    halves = " ".join(merges).split(" ")
    if len(halves) == 2 * len(merges) and all(halves) and all(merge.count(" ") == 1 for merge in merges):
        return list(zip(halves[::2], halves[1::2], strict=True))
    pairs: list[tuple[str, str]] = []
    for merge in merges:
        left, _, right = merge.partition(" ")
        if not left or not right or " " in right:
            raise BadTokenizer(f"the merge {merge!r} is not two pieces with a space between them.")
        pairs.append((left, right))
    return pairs


def _bpe(ids: dict[str, int], pairs: list[tuple[str, str]], **options: Any) -> models.BPE:
    try:
        return models.BPE(vocab=ids, merges=pairs, **options)
    except Exception as error:
        for left, right in pairs:
            for piece in (left, right, left + right):
                if piece not in ids:
                    raise BadTokenizer(
                        f'the merge "{left} {right}" needs "{piece}", which is not in tokenizer.ggml.tokens.'
                    ) from None
        raise BadTokenizer(f"the vocabulary and its merges do not fit together: {error}.") from None


def _pieces(metadata: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """The pieces by id, and the types (all normal when the file has none)."""
    pieces = _texts(metadata, "tokens")
    if not pieces:
        raise BadTokenizer("tokenizer.ggml.tokens is empty; a vocabulary has at least one piece.")
    if "tokenizer.ggml.token_type" not in metadata:
        return pieces, [NORMAL] * len(pieces)
    types = _numbers(metadata, "token_type", len(pieces))
    return pieces, types if isinstance(types[0], int) else [int(kind) for kind in types]


def _ids(pieces: Sequence[str]) -> dict[str, int]:
    ids = {piece: id for id, piece in enumerate(pieces)}
    if len(ids) != len(pieces):
        for id, piece in enumerate(pieces):
            if ids[piece] != id:
                raise BadTokenizer(f"tokenizer.ggml.tokens has {piece!r} twice, as ids {id} and {ids[piece]}.")
    return ids


def _array(metadata: Mapping[str, Any], name: str) -> list[Any]:
    key = f"tokenizer.ggml.{name}"
    values = metadata.get(key)
    if values is None:
        raise BadTokenizer(f"the GGUF metadata has no {key}, which its tokenizer needs.")
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise BadTokenizer(f"{key} is a {type(values).__name__}; expected an array.")
    if len(values) > MAX_VOCABULARY:
        raise BadTokenizer(f"{key} has {len(values):,} entries; expected at most {MAX_VOCABULARY:,}.")
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    values = _array(metadata, name)
    if set(map(type, values)) - {str}:
        values = [_text(value, f"tokenizer.ggml.{name}[{at}]") for at, value in enumerate(values)]
    try:
        "".join(values).encode("utf-8")
    except UnicodeEncodeError:
        raise BadTokenizer(f"tokenizer.ggml.{name} holds text that is not UTF-8; the file is damaged.") from None
    return values


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise BadTokenizer(f"{what} is not UTF-8 text ({bytes(value)[:16]!r}); the file is damaged.") from None
    raise BadTokenizer(f"{what} is a {type(value).__name__}; expected text.")


def _numbers(metadata: Mapping[str, Any], name: str, expected: int) -> list[Any]:
    """All int, or all float."""
    values = _array(metadata, name)
    if len(values) != expected:
        raise BadTokenizer(
            f"tokenizer.ggml.{name} has {len(values):,} entries for {expected:,} tokens; the counts must be equal."
        )
    if set(map(type, values)) == {int}:
        return values
    for at, value in enumerate(values):
        if type(value) not in (int, float) or not math.isfinite(value):
            raise BadTokenizer(f"tokenizer.ggml.{name}[{at}] is {value!r}; expected a finite number.")
    return [float(value) for value in values]


def _value(metadata: Mapping[str, Any], name: str, kind: type) -> Any:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if value is None:
        return None
    if kind is bool and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if kind is str and isinstance(value, (str, bytes)):
        return _text(value, f"tokenizer.ggml.{name}")
    raise BadTokenizer(f"tokenizer.ggml.{name} is {value!r:.60}; expected a {'flag' if kind is bool else 'text'}.")


def _id(metadata: Mapping[str, Any], name: str, n_vocab: int) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if value is None:
        return None
    try:
        id = int(value)
    except (TypeError, ValueError, OverflowError):
        raise BadTokenizer(f"tokenizer.ggml.{name} is {value!r:.60}; expected a token id.") from None
    if not 0 <= id < n_vocab:
        raise BadTokenizer(f"tokenizer.ggml.{name} is {id}; the vocabulary has ids 0 to {n_vocab - 1}.")
    return id


def _template(metadata: Mapping[str, Any]) -> str | None:
    value = metadata.get("tokenizer.chat_template")
    return None if value is None else _text(value, "tokenizer.chat_template")
