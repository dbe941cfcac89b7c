"""Why this piece: the candidates through every stage, and the draw, as `cutaway generate --why` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutaway.cli.pictures import Part, number_line
from cutaway.cli.render_trace import label
from cutaway.cli.terminal import CHOSEN, FAINT, STRONG, Screen, ink
from cutaway.cli.words import number, percent, plural

if TYPE_CHECKING:
    from cutaway.engine import Model
    from cutaway.generation.choice import Candidate
    from cutaway.generation.decode import Step

CANDIDATES = 6
LABEL = 16
COLUMN = 9
TITLES = {
    "raw": "model",
    "repetition_penalty": "repeated",
    "temperature": "÷T",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "greedy": "largest",
}


def show_step(screen: Screen, model: Model, step: Step) -> None:
    """One piece: what it competed with, what each stage left, and where the random number fell."""
    chosen = screen.text(label(model.token(step.token_id)))
    screen.line()
    title = ink(f"{step.index + 1} ", STRONG) + ink(chosen, f"{STRONG} {CHOSEN}")
    title.append(screen.text(f"  at position {step.position}"), FAINT)
    screen.line(title)
    if step.dropped is not None:
        screen.say(
            f"The context was full: the oldest {plural(step.dropped.tokens, 'piece')} were dropped and the other"
            f" {step.dropped.prefilled:,} read again from position 0."
        )
    _draft(screen, model, step)
    candidates = [each for each in step.candidates if each.chosen or each.rank <= CANDIDATES]
    stages = list(candidates[0].probabilities)
    kept = step.choice.kept()
    settings = dict(step.choice.sampling.stages())
    names, numbers = ink(" " * (LABEL + 5) + "logit", FAINT), ink(" " * (LABEL + 10))
    for name in stages:
        names.append(screen.fit_right(TITLES.get(name, name), COLUMN), FAINT)
        numbers.append(("" if name in ("raw", "greedy") else f"{settings[name]:g}").rjust(COLUMN), FAINT)
    screen.line(names)
    if numbers.plain.strip():
        screen.line(numbers)
    for each in candidates:
        _candidate(screen, model, each, stages)
    left = ink("  " + "still possible".rjust(LABEL) + " " * 8, FAINT)
    for name in stages:
        left.append(f"{kept[name]:,}".rjust(COLUMN), FAINT)
    screen.line(left)
    if step.u is not None:
        _draw(screen, model, step)


def _candidate(screen: Screen, model: Model, each: Candidate, stages: list[str]) -> None:
    style = CHOSEN if each.chosen else ""
    name = label(model.token(each.token_id)) + ("" if each.rank <= CANDIDATES else f" #{each.rank:,}")
    line = ink("  " + screen.fit_right(name, LABEL) + " ", style)
    line.append(number(each.logit).rjust(7), style)
    gone = False
    for name in stages:
        gone = gone or each.scores[name] == float("-inf")
        line.append(("out" if gone else percent(each.probabilities[name])).rjust(COLUMN), FAINT if gone else style)
    screen.line(line)


def _draft(screen: Screen, model: Model, step: Step) -> None:
    """What prompt lookup had guessed: told at the pieces it was right about, and at the one it was wrong about."""
    if step.drafted:
        screen.say("guessed ahead from the text so far, and accepted", style=FAINT)
    elif step.draft is not None and step.draft.rejected:
        pieces = " ".join(label(model.token(each)) for each in step.draft.rejected)
        screen.say(f"guessed ahead from the text so far, and rejected: {pieces}", style=FAINT)


def _draw(screen: Screen, model: Model, step: Step) -> None:
    """The random number on the line of all that is still possible, the likeliest first."""
    assert step.u is not None
    parts = [
        Part(label(model.token(each.token_id)), *each.interval, chosen=each.chosen)
        for each in step.candidates
        if each.interval is not None
    ]
    own = next(each for each in parts if each.chosen)
    screen.say(
        f"The draw: {step.u:.4f} fell into “{screen.text(own.label)}”, {own.low:.4f} to {own.high:.4f}.",
    )
    for line in number_line(screen, parts, step.u, screen.width - 6):
        screen.line(ink("  ") + line)
