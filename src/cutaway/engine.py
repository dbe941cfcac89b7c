"""The front door: load a model once; trace, score and generate many times.

model = cutaway.load("smollm2-135m")
trace = model.trace("Data visualization empowers users to")
trace["blocks.3.attn.pattern"]
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadInput, UnknownModel, did_you_mean
from cutaway.parameters import Checkpoint, Parameters
from cutaway.sites import Site, declared, matching
from cutaway.tap import SILENT, Tap
from cutaway.trace.interventions import Interventions
from cutaway.trace.trace import Trace

if TYPE_CHECKING:
    from cutaway.analysis.score import Score
    from cutaway.generation.decode import Step
    from cutaway.generation.passes import Passes
    from cutaway.tokenizers import Token, Tokenizer
    from cutaway.weights.fetch import Progress

Text = str | Sequence[int]


@dataclass(frozen=True)
class BarePiece:
    """A token of a model that has no tokenizer: its id is all there is."""

    id: int
    text: str
    bytes: bytes = b""
    special: bool = False

    @property
    def display(self) -> str:
        return self.text


class Model:
    """A loaded model, with the interventions that act in it. Immutable: `intervene` gives another view of the same
    weights, so that several threads can share one."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        tokenizer: Tokenizer | None = None,
        *,
        name: str = "",
        checkpoint: Checkpoint | None = None,
        interventions: Interventions | None = None,
    ) -> None:
        self.config = config
        self.parameters = parameters
        self.tokenizer = tokenizer
        self.name = name
        self.checkpoint = checkpoint
        self.interventions = interventions or Interventions(config)

    def __repr__(self) -> str:
        c = self.config
        changed = f", {len(self.interventions.bound)} interventions" if self.interventions else ""
        return f"<Model {self.name or c.architecture}: {c.n_layer} blocks, d_model {c.d_model}{changed}>"

    @property
    def sites(self) -> Mapping[str, Site]:
        """Everything that a trace of this model can be asked for, by name."""
        return declared(self.config)

    @property
    def passes(self) -> Passes:
        """Watched runs of this model: what traces and generation are made of."""
        from cutaway.generation.passes import Passes

        return Passes(self.config, self.parameters, self.interventions, self.token, self.name)

    # -- text and ids --------------------------------------------------------------------------------------------

    def token(self, id: int) -> Token | BarePiece:
        """The piece behind an id."""
        return BarePiece(id, f"#{id}") if self.tokenizer is None else self.tokenizer.token(id)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, as the model's own tokenizer gives them. Raises `BadInput`."""
        if self.tokenizer is None:
            raise BadInput("this model has no tokenizer; give token ids, such as [5127, 15171], instead of text.")
        return self.tokenizer.encode(text)

    def ids(self, text: Text) -> list[int]:
        """Text or ids, as ids that this model can run. Raises `BadInput`: empty, too long, or out of range."""
        if not isinstance(text, str):
            ids = [_id(each) for each in _listed(text)]
        else:
            ids = self.encode(text) if text else []
        if not ids:
            raise BadInput("the text is empty; give at least one character or one token id.")
        outside = next((each for each in ids if not 0 <= each < self.config.n_vocab), None)
        if outside is not None:
            raise BadInput(f"token id {outside} is outside this model's vocabulary, 0 to {self.config.n_vocab - 1}.")
        if len(ids) > self.config.n_ctx:
            raise BadInput(
                f"the text has {len(ids):,} tokens; this model takes {self.config.n_ctx:,} at most, so shorten it."
            )
        return ids

    # -- looking -------------------------------------------------------------------------------------------------

    @overload
    def trace(  # type: ignore[overload-overlap]  # a str is a sequence of str, too; the first that fits is meant
        self, text: str, *, record: str | Sequence[str] = ..., beside: Tap = ...
    ) -> Trace: ...
    @overload
    def trace(self, text: Sequence[int], *, record: str | Sequence[str] = ..., beside: Tap = ...) -> Trace: ...
    @overload
    def trace(self, text: Sequence[Text], *, record: str | Sequence[str] = ..., beside: Tap = ...) -> list[Trace]: ...

    def trace(self, text: Any, *, record: str | Sequence[str] = (), beside: Tap = SILENT) -> Trace | list[Trace]:
        """Runs the text and gives its lazy `Trace`; for a list of texts, a list of what each would give alone.

        `text`: a string or token ids. `record`: sites (names and globs) to keep as they go by, so that reading them
        costs nothing later; everything else is computed when it is asked for. `beside`: a tap that sees each value
        as it is used, and may stop the pass by raising. Raises `BadInput`, `UnknownSite`.
        """
        names = matching(self.config, record) if record else []
        text = text if isinstance(text, str) else _listed(text)
        if isinstance(text, str) or not text or not all(_is_text(each) for each in text):
            return self.passes.capture(self.ids(text), names, beside)
        several = [self.ids(each) for each in text]
        if names or self.interventions or beside is not SILENT:
            return [self.passes.capture(ids, names, beside) for ids in several]
        return self.passes.capture_packed(several)

    def score(self, text: Text) -> Score:
        """The loss of each token, in nats, and the perplexity. Raises `BadInput`."""
        from cutaway.analysis.score import score

        return score(self.trace(self.ids(text)))

    # -- changing ------------------------------------------------------------------------------------------------

    def intervene(self, changes: Mapping[str, Any]) -> Model:
        """This model with `changes` at sites (names, aliases, globs): `zero(head=2)` and its like, or a function.

        They act in `trace`, `score` and `generate` alike; nested, they act in the order given. Use it in a `with`
        or keep it: the model itself stays as it was. Raises `UnknownSite`, `BadSelection`.
        """
        return self.with_interventions(self.interventions.with_these(changes))

    def with_interventions(self, interventions: Interventions) -> Model:
        """The same weights with these interventions instead."""
        return Model(
            self.config,
            self.parameters,
            self.tokenizer,
            name=self.name,
            checkpoint=self.checkpoint,
            interventions=interventions,
        )

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    # -- writing -------------------------------------------------------------------------------------------------

    def generate(self, text: Text, *, stop: str | Sequence[str] = (), **settings: Any) -> Iterator[Step]:
        """Continues the text, one `Step` at a time; each knows why it is this token, and carries a trace.

        Settings: `max_new_tokens temperature top_k top_p min_p repetition_penalty seed lookup n_ctx` (see
        `generation.decode.generate`). Raises `BadInput`.
        """
        from cutaway.generation.decode import generate

        decoder = None
        eos: Sequence[int] = ()
        if self.tokenizer is not None:
            from cutaway.tokenizers import StreamDecoder

            decoder = StreamDecoder(self.tokenizer)
            eos = self.tokenizer.eos_ids
        known = [name for name in inspect.signature(generate).parameters if name not in ("passes", "ids", "decoder")]
        for name in settings:
            if name not in known:
                hint = did_you_mean(name, known) or "."
                raise BadInput(f'generate has no setting "{name}"{hint} It has {", ".join(known)}.')
        settings.setdefault("eos_ids", eos)
        return generate(self.passes, self.ids(text), stop=stop, decoder=decoder, **settings)

    def chat_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation (`[{"role": "user", "content": "Hi"}]`) in the model's own chat template, up to where
        the answer begins. Raises `BadInput` where it has none, `BadTemplate` where it misbehaves."""
        if self.tokenizer is None or not self.tokenizer.chat_template:
            raise BadInput("this model has no chat template; give it plain text to continue.")
        from cutaway.tokenizers.chat import render_chat

        return render_chat(self.tokenizer.chat_template, list(messages), tokenizer=self.tokenizer)


def load(
    name: str | os.PathLike[str] | None = None, *, download: bool = True, progress: Progress | None = None
) -> Model:
    """A model by catalog name (None: the default), hub name, folder or file; downloaded if it is not here.

    Opening costs milliseconds: weights are read and dequantised when they are first used. Raises `UnknownModel`,
    `DownloadFailed`, `BadCheckpoint`, `BadConfig`, `BadTokenizer`.
    """
    from cutaway.weights import catalog, open_checkpoint

    wanted = catalog.DEFAULT if name is None else os.fspath(name)
    location = catalog.find(wanted)
    if location is not None:
        path = location.path
    elif download:
        path = catalog.pull(wanted, progress=progress)
    else:
        raise UnknownModel(f"{wanted} is not on this machine; bring it with: cutaway pull {wanted}")
    checkpoint = open_checkpoint(path)
    return Model(
        checkpoint.config,
        Parameters(checkpoint.config, checkpoint.read, checkpoint.read_all, checkpoint.packed_rows),
        _tokenizer(checkpoint),
        name=_shown_name(wanted, catalog.CATALOG),
        checkpoint=checkpoint,
    )


def load_trace(path: str | os.PathLike[str], model: Model | None = None) -> Trace:
    """A trace that `trace.save` wrote. With the `model` it was made with, every site can be read; without, those that
    were saved. Raises `BadCheckpoint`."""
    from cutaway.trace.saved import load as load_saved

    if model is None:
        return load_saved(Path(path))
    from cutaway.generation.passes import ModelReplay

    return load_saved(
        Path(path),
        lambda ids, start, past: ModelReplay(model.config, model.parameters, ids, start, past),
        model.config,
    )


def _listed(texts: Any) -> list[Any]:
    """Ids, or several texts, as a list. Raises `BadInput` for what is neither."""
    if isinstance(texts, bytes | bytearray):
        raise BadInput("the text is bytes; decode it first (text.decode()), or give a list of token ids.")
    if not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) == 0:
        raise BadInput(f"{texts!r} is no text; give a string, a list of token ids, or a list of those.")
    return list(texts)


def _is_text(value: Any) -> bool:
    """Whether this member of a list is a text of its own; a number that an array library wrapped is an id."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0


def _id(value: Any) -> int:
    if not isinstance(value, bool | np.bool_):
        with contextlib.suppress(AttributeError, TypeError):
            return int(value.__index__())
    raise BadInput(f"{value!r} is not a token id; give text, or a list of whole numbers.")


def _shown_name(wanted: str, catalog: Mapping[str, Any]) -> str:
    """A path is called by its last part, but for a folder that has the name of a catalog's model."""
    last = Path(wanted).name
    return last if Path(wanted).exists() and last not in catalog else wanted


def _tokenizer(checkpoint: Any) -> Tokenizer | None:
    if checkpoint.tokenizer_json is None and checkpoint.tokenizer_metadata is None:
        return None
    from cutaway.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(
        tokenizer_json=checkpoint.tokenizer_json, gguf_metadata=checkpoint.tokenizer_metadata, late=True
    )
    return (
        tokenizer if tokenizer.n_vocab == checkpoint.config.n_vocab else tokenizer.padded(checkpoint.config.n_vocab)
    )
