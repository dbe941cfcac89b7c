"""`cutaway generate`: the text goes on, piece by piece, and each piece can say why it was chosen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutaway.cli.trace import IdsOption, InterveneOption, JsonOption, ModelOption, TextArgument, ZeroOption
from cutaway.cli.words import can_show_unicode, harmless, note, plain, plural
from cutaway.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutaway.engine import Model
    from cutaway.generation.decode import Step

PLAIN_LENGTH, CHAT_LENGTH = 40, 200
ENDINGS = {
    "eos": "the model ended the text",
    "stop": "a stop string came up",
    "length": "as many pieces as were asked for",
}


def generate(
    text: TextArgument,
    model: ModelOption = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="TEXT is a question; put in the model's chat template.")
    ] = False,
    ids: IdsOption = False,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            "-n",
            metavar="N",
            help="At most so many pieces.",
            show_default=f"{PLAIN_LENGTH}; with --chat {CHAT_LENGTH}",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", metavar="T", help="Above 1 evens chances out; 0: the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", metavar="K", help="Keep the K likeliest.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", metavar="P", help="Keep the fewest that together have the share P.")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option("--min-p", metavar="P", help="Keep those at least P times as likely as the likeliest."),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option("--repetition-penalty", metavar="R", help="Above 1: make repeating less likely.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="The same seed and settings give the same text.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="End before this text. May be repeated.")
    ] = None,
    lookup: Annotated[
        int,
        typer.Option(
            "--lookup",
            metavar="N",
            help="Guess up to N pieces ahead from what was said before; faster, and the text is the same.",
        ),
    ] = 0,
    zero: ZeroOption = None,
    intervene: InterveneOption = None,
    why: Annotated[bool, typer.Option("--why", help="For each piece: the candidates and the draw.")] = False,
    json: JsonOption = False,
) -> None:
    """Continue TEXT, piece by piece.

    Only the continuation goes to standard output (a terminal shows TEXT before it, dimmed). Ctrl-C keeps what was
    written; the exit code is then 130.

    \b
    Examples:
      cutaway generate "The robots will bring" --seed 1
      cutaway generate "The robots will bring" --temperature 0.8 --top-k 40 --why
      cutaway generate --chat "Why is the sky blue?" --temperature 0
      cutaway generate "a b c a b c a b" --temperature 0 --lookup 8 --why
      cutaway generate "Once upon a time" --json | head -3

    With --json each piece is one JSON object on a line of its own.
    """  # fmt: skip
    from cutaway.cli.reading import changed, given_ids, given_text, open_model

    if chat and ids:
        raise BadInput("--chat and --ids cannot go together: a chat template takes text.")
    given = given_text(text)
    loaded = changed(open_model(model), zero or [], intervene or [])
    if chat:
        if not given.strip():
            raise BadInput("the text is empty; give at least one character.")
        prompt = loaded.ids(loaded.chat_ids([{"role": "user", "content": given}]))
    else:
        prompt = loaded.ids(given_ids(given) if ids else given)
    steps = loaded.generate(
        prompt,
        max_new_tokens=(CHAT_LENGTH if chat else PLAIN_LENGTH) if max_new_tokens is None else max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(stop or ()),
        lookup=lookup,
    )
    telling = _Telling(given_seed=seed is not None or temperature == 0)
    try:
        if json:
            _as_json(loaded, telling.watched(steps), why)
        elif why:
            _why(loaded, telling.watched(steps), given if not chat and not ids else "")
        else:
            _as_text(loaded, telling.watched(steps), given if not chat and not ids else "")
    except KeyboardInterrupt:
        if not json and telling.written:
            sys.stdout.write("\n")
            sys.stdout.flush()
        kept = f" after {plural(telling.written, 'piece')}; what was written is kept" if telling.written else ""
        note(f"stopped by Ctrl-C{kept}.")
        raise typer.Exit(130) from None
    telling.end()


class _Telling:
    """What the person should know beside the text, on standard error."""

    def __init__(self, given_seed: bool) -> None:
        self._given_seed = given_seed
        self._began = time.perf_counter()
        self._first = 0.0
        self.written = 0
        self._last: Step | None = None

    def watched(self, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            if self.written == 0:
                self._first = time.perf_counter()
            self.written += 1
            self._last = step
            if step.dropped is not None:
                dropped = plural(step.dropped.tokens, "piece")
                note(
                    f"the text outgrew the context: the oldest {dropped} were dropped and the other"
                    f" {step.dropped.prefilled:,} read again."
                )
            yield step

    def end(self) -> None:
        if self._last is None or not sys.stderr.isatty():
            return
        parts = [f"{plural(self.written, 'piece')}; {ENDINGS.get(str(self._last.finish), 'ended')}"]
        elapsed = time.perf_counter() - self._first
        if self.written > 1 and elapsed > 0:
            parts.append(f"{(self.written - 1) / elapsed:.1f} a second after the first")
        if not self._given_seed:
            parts.append(f"--seed {self._last.seed} writes it again")
        note("; ".join(parts) + ".")


def _as_text(model: Model, steps: Iterator[Step], prompt: str) -> None:
    """Each piece as soon as it is certain."""
    out = sys.stdout
    unicode = can_show_unicode(out)
    if model.tokenizer is None:
        for step in steps:
            out.write(("" if step.index == 0 else " ") + str(step.token_id))
            out.flush()
    else:
        faint = out.isatty() and not _dumb()
        if out.isatty() and prompt:
            shown = _shown(prompt, unicode)
            out.write(f"\x1b[2m{shown}\x1b[0m" if faint else shown)
        for step in steps:
            out.write(_shown(step.text, unicode))
            out.flush()
    out.write("\n")
    out.flush()


def _dumb() -> bool:
    import os

    return os.environ.get("TERM") == "dumb"


def _shown(text: str, unicode: bool) -> str:
    """Text as it is, but for what would control the terminal."""
    text = harmless(text, keep="\n\t")
    return text if unicode else plain(text)


def _why(model: Model, steps: Iterator[Step], prompt: str) -> None:
    from cutaway.cli.render_steps import show_step
    from cutaway.cli.terminal import FAINT, STRONG, screen

    where = screen()
    written = []
    for step in steps:
        show_step(where, model, step)
        written.append(step.text)
        sys.stdout.flush()
    where.heading("The text")
    from cutaway.cli.render_trace import two_styles

    for line in two_styles(where, (prompt, FAINT), ("".join(written), STRONG)):
        where.line(line)


def _as_json(model: Model, steps: Iterator[Step], why: bool) -> None:
    from cutaway.cli.machine import write_json

    for step in steps:
        write_json(step_values(model, step, why))


def step_values(model: Model, step: Step, why: bool) -> dict[str, Any]:
    """One step, as docs/cli.md describes it."""
    from cutaway.cli.machine import finite, token_values
    from cutaway.ops import softmax

    logits = step.choice.logits
    values: dict[str, Any] = {
        "index": step.index,
        "position": step.position,
        "token": token_values(model.token(step.token_id)),
        "text": step.text,
        "held": step.held,
        "logit": finite(float(logits[step.token_id])),
        "probability": float(softmax(logits)[step.token_id]),
        "u": step.u,
        "seed": step.seed,
        "drafted": step.drafted,
        "draft": None if step.draft is None else {"ids": list(step.draft.ids), "accepted": step.draft.accepted},
        "dropped": None
        if step.dropped is None
        else {"tokens": step.dropped.tokens, "prefilled": step.dropped.prefilled},
        "finish": step.finish,
    }
    if why:
        values["kept"] = step.choice.kept()
        values["candidates"] = [
            {
                "token": token_values(model.token(each.token_id)),
                "rank": each.rank,
                "chosen": each.chosen,
                "scores": {name: finite(score) for name, score in each.scores.items()},
                "probabilities": dict(each.probabilities),
                "interval": None if each.interval is None else list(each.interval),
                "removed_by": each.removed_by,
            }
            for each in step.candidates
        ]
    return values
