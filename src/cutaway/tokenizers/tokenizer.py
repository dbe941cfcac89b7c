"""`Tokenizer`: text to ids and back, with the exact bytes of every piece.

Encoding and decoding are done by Hugging Face `tokenizers`, set up by `from_json` or `from_gguf`.
"""

from __future__ import annotations

import codecs
import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import tokenizers

from cutaway.errors import BadInput
from cutaway.tokenizers.merges import Merges, PieceMerges, piece_merges
from cutaway.tokenizers.pieces import CHARACTER, SPACE_MARK, Spelling, Token, shown, spelled

# The longest text whose merges are listed, in characters: the list is for people, and made in Python.
MAX_MERGES_TEXT = 20_000
MAX_VOCABULARY = 4_000_000

# Tokens that end a turn or a text, by name: a file names one of them as its end, and may use another in a chat.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>")


@dataclass(frozen=True)
class Tables:
    """What encodes and decodes. `backend` recognises special tokens in a text, `literal` takes them for text; they
    share one model."""

    backend: tokenizers.Tokenizer
    literal: tokenizers.Tokenizer
    merges: Merges | None


class Once:
    """Makes the tables when they are first asked for; two threads that ask together get the same ones."""

    def __init__(self, make: Callable[[], Tables]) -> None:
        self._make = make
        self._made: Tables | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Tables:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made


@dataclass(frozen=True)
class Vocabulary:
    """What a loader found out; `Tokenizer` is built from it.

    `tables` gives the same ones each time. `piece`: id -> how the vocabulary writes it, None where it has none.
    `added`: id -> (literal text, special). `prefix`/`suffix`: the ids that the model's own tokenizer puts around
    a text. `first`: the ids of one text without the tables, or None where it cannot say.
    """

    tables: Callable[[], Tables]
    piece: Callable[[int], str | None]
    spelling: Spelling
    n_vocab: int
    added: Mapping[int, tuple[str, bool]]
    first: Callable[[str], list[int] | None] | None = None
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    unk_id: int | None = None
    pad_id: int | None = None
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    chat_template: str | None = None

    @property
    def backend(self) -> tokenizers.Tokenizer:
        return self.tables().backend

    @property
    def literal(self) -> tokenizers.Tokenizer:
        return self.tables().literal

    @property
    def merges(self) -> Merges | None:
        return self.tables().merges


class Tokenizer:
    """Text <-> ids of one model. Raises `BadInput` for text that is not Unicode and ids that do not exist.

    Counts: `n_vocab` ids, 0 to n_vocab − 1. `add_bos`: the model's own tokenizer starts a text with `bos_id`.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.n_vocab = vocabulary.n_vocab
        self.bos_id = vocabulary.bos_id
        self.eos_ids = vocabulary.eos_ids
        self.unk_id = vocabulary.unk_id
        self.pad_id = vocabulary.pad_id
        self.add_bos = vocabulary.bos_id is not None and vocabulary.prefix[:1] == (vocabulary.bos_id,)
        self.chat_template = vocabulary.chat_template
        self.special_ids = frozenset(id for id, (_, special) in vocabulary.added.items() if special)
        self._tokens: dict[int, Token] = {}
        self._first = vocabulary.first

    @cached_property
    def _within_model(self) -> set[int]:
        """The special tokens that the model itself knows, rather than the list of added tokens around it."""
        model, added = self._vocabulary.backend.model, self._vocabulary.added
        own = {id for id in self.special_ids if model.token_to_id(added[id][0]) == id}
        return own - {id for id in (self.unk_id,) if id is not None}

    def padded(self, n_vocab: int) -> Tokenizer:
        """The same tokenizer for a model whose embedding has rows without a piece: they are unused tokens."""
        return Tokenizer(dataclasses.replace(self._vocabulary, n_vocab=max(n_vocab, self.n_vocab)))

    def encode(self, text: str, *, special: bool = True, add_bos: bool | None = None) -> list[int]:
        """Ids of `text`, as the model's own tokenizer gives them.

        `special`: the text of a special token becomes that token; with False it stays text. `add_bos`: None does
        what the model's own tokenizer does around a text, True sees that it starts with BOS, False gives the
        ids of the text alone.
        """
        ids = self._ids(text, special)
        if add_bos is False:
            return ids
        around = self._vocabulary
        ids = [*around.prefix, *ids, *around.suffix]
        if add_bos and not self.add_bos:
            if self.bos_id is None:
                raise BadInput("this tokenizer has no BOS token; encode without add_bos.")
            ids.insert(0, self.bos_id)
        return ids

    def _ids(self, text: str, special: bool) -> list[int]:
        if special:
            first, self._first = self._first, None  # who asks again is better served by the tables
            ids = None if first is None else first(checked(text))
            if ids is not None:
                return ids
            return list(self._vocabulary.backend.encode(checked(text), add_special_tokens=False).ids)
        ids = list(self._vocabulary.literal.encode(checked(text), add_special_tokens=False).ids)
        self.refuse_forged(ids)
        return ids

    def refuse_forged(self, ids: Iterable[int]) -> None:
        """Raises `BadInput` when plain text came out as a special token.

        BPE vocabularies that people use never do that: it takes merges that lead to a special token, or whole words
        that are one. A unigram model does, because its special tokens are pieces like any other.
        """
        for id in self._within_model.intersection(ids):
            raise BadInput(f"the text spells the special token {self.token(id).text!r} and cannot be told from it.")

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, special tokens included; bytes that are no character become U+FFFD."""
        return str(self._vocabulary.backend.decode(self._checked_ids(ids), skip_special_tokens=False))

    def token(self, id: int) -> Token:
        """What the id stands for."""
        known = self._tokens.get(id)
        if known is None:
            (checked_id,) = self._checked_ids([id])
            known = self._tokens[checked_id] = self._token(checked_id)
        return known

    def tokens(self, ids: Iterable[int]) -> list[Token]:
        return [self.token(id) for id in ids]

    def _token(self, id: int) -> Token:
        if id in self._vocabulary.added:
            text, special = self._vocabulary.added[id]
            return Token(id, text.encode("utf-8", errors="replace"), text, special)
        piece = self._vocabulary.piece(id)
        if piece is None:
            return Token(id, b"", f"‹unused {id}›")
        raw = spelled(piece, self._vocabulary.spelling)
        return Token(id, raw, shown(raw))

    def token_id(self, text: str) -> int | None:
        """The id of the single token with exactly this text, or None."""
        piece = checked(text)
        for id, (literal, _) in self._vocabulary.added.items():
            if literal == piece:
                return id
        if self._vocabulary.spelling == "byte-level":
            piece = "".join(CHARACTER[byte] for byte in piece.encode("utf-8"))
        elif self._vocabulary.spelling != "plain":
            piece = piece.replace(" ", SPACE_MARK)
        found: int | None = self._vocabulary.backend.token_to_id(piece)
        return found if found is None or self.token(found).bytes == text.encode("utf-8") else None

    def merges(self, text: str) -> list[PieceMerges]:
        """How BPE made each piece of `text`: for every word the pieces it starts from, then each merge in order.

        The final pieces, joined, are `encode(text, add_bos=False)`. A special token is a word of its own. At most
        `MAX_MERGES_TEXT` characters.
        """
        if len(text) > MAX_MERGES_TEXT:
            raise BadInput(f"the text has {len(text):,} characters; merges are listed for up to {MAX_MERGES_TEXT:,}.")
        return [self._merges_of(word) for word in self._words(text)]

    def merges_at(self, text: str, at: int) -> tuple[int, PieceMerges] | None:
        """The same of one word, however long the text: of that which holds piece `at` of `encode(text)`, and where
        the word begins among the pieces. None: the piece is in no word, but was put in front of the text or behind.
        Some tokenizers cut a text into no words at all: then `MAX_MERGES_TEXT` holds.
        """
        first = len(self._vocabulary.prefix)
        for word in self._words(text):
            if first <= at < first + len(word):
                length = sum(len(self.token(id).text) for id in word)
                if length > MAX_MERGES_TEXT:
                    raise BadInput(
                        f"the word has {length:,} characters; merges are listed for up to {MAX_MERGES_TEXT:,}."
                    )
                return first, self._merges_of(word)
            first += len(word)
        return None

    def _words(self, text: str) -> list[list[int]]:
        encoding = self._vocabulary.backend.encode(checked(text), add_special_tokens=False)
        words: list[list[int]] = []
        last: int | None = -1
        for id, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word != last:
                words.append([])
            words[-1].append(id)
            last = word
        return words

    def _merges_of(self, word: list[int]) -> PieceMerges:
        known = self._vocabulary
        return piece_merges(
            word, None if word[0] in known.added else known.merges, known.backend, self.token, known.unk_id
        )

    @property
    def added_tokens(self) -> dict[int, tokenizers.AddedToken]:
        """The tokens that are found in a text before it is cut into words, by id."""
        return dict(self._vocabulary.literal.get_added_tokens_decoder())

    def front(self, added: Sequence[tokenizers.AddedToken]) -> tokenizers.Tokenizer:
        """The same model with other added tokens."""
        return front(self._vocabulary.backend, added)

    def _checked_ids(self, ids: Iterable[int]) -> list[int]:
        plain = [int(id) for id in ids]
        for id in plain:
            if not 0 <= id < self.n_vocab:
                raise BadInput(f"token id {id} is out of range; this vocabulary has ids 0 to {self.n_vocab - 1}.")
        return plain


class StreamDecoder:
    """Text that arrives token by token; the bytes of a split character are held back until it is whole.

    What `feed` and `flush` return, joined, is the tokens' bytes as text (a broken character becomes U+FFFD). It
    equals `decode` except that a SentencePiece text keeps its leading space: here it continues a prompt.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, id: int) -> str:
        """The text that is whole now; may be empty."""
        token = self._tokenizer.token(id)
        if token.special and self._skip_special:
            return ""
        return self._decoder.decode(token.bytes)

    def flush(self) -> str:
        """What was held back, at the end; the decoder is ready for a new text."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


def checked(text: str) -> str:
    """`text`, when it is text: an unpaired surrogate has no UTF-8 bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(
            f"the text holds an unpaired surrogate (U+{ord(text[error.start]):04X} at character {error.start}), which"
            " no UTF-8 text can; remove it or decode the source again."
        ) from None
    return text


def twin(backend: tokenizers.Tokenizer, added: Sequence[tuple[int, tokenizers.AddedToken]]) -> tokenizers.Tokenizer:
    """A second front to the same model (nothing is copied) that takes the text of special tokens for text.

    A second object because the switch is a setting of the object, and one that changes under another thread's
    encoding would be a race.
    """
    literal = front(backend, [token for _, token in sorted(added, key=lambda each: each[0])])
    literal.encode_special_tokens = True
    return literal


def front(backend: tokenizers.Tokenizer, added: Sequence[tokenizers.AddedToken]) -> tokenizers.Tokenizer:
    """A tokenizer around the same model and stages, with its own added tokens."""
    made = tokenizers.Tokenizer(backend.model)
    for stage in ("normalizer", "pre_tokenizer", "decoder"):
        if getattr(backend, stage) is not None:
            setattr(made, stage, getattr(backend, stage))
    made.add_tokens(list(added))
    return made
