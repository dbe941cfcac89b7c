"""Changes as they were sent: read, bound to the model, and said again.

A patch's `source` is another text: it is run (unchanged) like any other and kept among the traces, so that patching
from it again costs nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from cutaway.engine import Model
from cutaway.errors import BadInput, BadSelection
from cutaway.server.desk import Check
from cutaway.server.refusals import BadRequest
from cutaway.server.routes_models import check_length
from cutaway.server.state import State
from cutaway.server.traces import Gauge, Held, Watched
from cutaway.sites import canonical, declared, matching
from cutaway.trace.interventions import Intervention, Interventions
from cutaway.trace.python_text import Change, Direction, Source, lines, program
from cutaway.trace.selection import Index, by_axis, pick
from cutaway.trace.trace import Trace
from cutaway.wire import structures as s
from cutaway.wire.json_text import plain

MOST_INTERVENTIONS = 1000
MOST_PLACES = 20_000  # sites that they act at, together
MOST_SOURCES = 16
MOST_PATCHED = 64 << 20  # bytes taken from other texts


@dataclass(frozen=True)
class Sent:
    """One change, checked. `names`: the sites; `ids`: of a patch's source."""

    spec: s.InterventionSpec
    names: tuple[str, ...]
    change: Change
    ids: tuple[int, ...] = ()

    @property
    def key(self) -> dict[str, Any]:
        """What the trace's id is made of: equal for equal work, however the source's text was given."""
        spec = self.spec
        source = None if spec.source is None else [*self.ids, spec.source.pos]
        direction = None if spec.direction is None else plain(spec.direction)
        selection = {axis: plain(index) for axis, index in spec.selection.items()}
        return {
            "at": [spec.site, spec.action, selection],
            "with": [spec.value, source, direction],
        }


def read_changes(state: State, model: Model, specs: Sequence[s.InterventionSpec]) -> list[Sent]:
    """Raises `BadRequest`, `BadInput`, `BadSelection`, `UnknownSite`."""
    if len(specs) > MOST_INTERVENTIONS:
        raise BadSelection(f"{len(specs)} changes at once; {MOST_INTERVENTIONS} is the most.")
    sent = [_read(state, model, each) for each in specs]
    places = sum(len(each.names) for each in sent)
    if places > MOST_PLACES:
        raise BadSelection(f"the changes act at {places:,} sites together; {MOST_PLACES:,} is the most.")
    sources = len({each.ids for each in sent if each.ids})
    if sources > MOST_SOURCES:
        raise BadSelection(f"the changes take values from {sources} other texts; {MOST_SOURCES} is the most.")
    return sent


def _read(state: State, model: Model, spec: s.InterventionSpec) -> Sent:
    is_glob = any(character in spec.site for character in "*?[")
    names = tuple(matching(model.config, spec.site))
    spec = replace(spec, site=spec.site if is_glob else canonical(model.config, spec.site))
    if (spec.source is None) != (spec.action != "patch"):
        raise BadSelection(f"{spec.site}: a patch takes its values from a source, and nothing else has one.")
    if spec.direction is not None and (spec.action != "add" or spec.value is not None):
        raise BadSelection(f"{spec.site}: a direction is what the action add takes in place of a value.")
    if spec.source is not None and spec.value is not None:
        raise BadSelection(f"{spec.site}: a patch takes its values from its source; leave value out.")
    change = Change(spec.site, spec.action, _selection(spec), spec.value)
    if spec.source is not None:
        ids = tuple(ids_of(state, model, spec.source))
        text = spec.source.text if spec.source.text is not None else list(ids)
        return Sent(spec, names, replace(change, source=Source(text, spec.source.pos)), ids)
    if spec.direction is not None:
        change = replace(change, direction=_direction(model, spec.direction))
    return Sent(spec, names, change)


def _selection(spec: s.InterventionSpec) -> dict[str, Index]:
    found: dict[str, Index] = {}
    for axis, index in spec.selection.items():
        if isinstance(index, s.SliceSpec):
            if index.step == 0:
                raise BadSelection(f"{axis} has the step 0; a step is 1 or more, or negative.")
            found[axis] = slice(index.start, index.stop, index.step)
        else:
            found[axis] = index
    return found


def _direction(model: Model, spec: s.DirectionSpec) -> Direction:
    if not spec.plus and not spec.minus:
        raise BadInput("a direction needs token ids in plus, or in minus.")
    for id in (*spec.plus, *spec.minus):
        if not 0 <= id < model.config.n_vocab:
            raise BadInput(f"token id {id} is outside this model's vocabulary, 0 to {model.config.n_vocab - 1}.")
    if not math.isfinite(spec.scale):
        raise BadInput(f"a direction's scale is {spec.scale}; expected a finite number.")
    return Direction(spec.plus, spec.minus, spec.scale)


def bind_changes(state: State, model: Model, name: str, sent: Sequence[Sent], check: Check) -> Interventions:
    """The changes bound to the model, which is called `name` here; sources are run. Raises what `read_changes` and
    the engine raise."""
    bound = Interventions(model.config)
    table = np.asarray(model.parameters["W_E"]) if any(each.change.direction for each in sent) else None
    left = MOST_PATCHED
    for each in sent:
        check()
        change = each.change
        made: Intervention
        if change.source is not None:
            trace = hold(state, model, name, list(each.ids), [], check).trace
            left -= _bytes(trace, each)
            if left < 0:
                raise BadSelection(
                    f"the patches take more than {MOST_PATCHED >> 20} MB from other texts; patch fewer sites, or"
                    " select positions or heads."
                )
            watched = cast(Trace, Watched(trace, check))
            # not by keyword: an axis that was sent may be called anything
            made = Intervention("patch", change.selection, trace=watched, from_pos=change.source.pos)
        elif change.direction is not None:
            assert table is not None
            made = Intervention("add", change.selection, change.direction.of(table))
        else:
            selection = {axis: plain(index) for axis, index in each.spec.selection.items()}
            given = {"site": each.spec.site, "action": each.spec.action, "selection": selection}
            _, made = Intervention.of({**given, "value": each.spec.value})
        bound = bound.with_these({change.site: made})
    return bound


def _bytes(trace: Trace, sent: Sent) -> int:
    """What a patch takes from its source, at most."""
    total = 0
    assert sent.change.source is not None
    for name in sent.names:
        site = declared(trace.config)[name]
        selected = by_axis(site, sent.change.selection)
        n = 4
        for axis, length in ((axis, trace.axis_sizes[axis]) for axis in site.axes):
            if axis in ("pos", "q_pos") and sent.change.source.pos is not None:
                continue
            n *= len(pick(selected[axis], length, axis, site.name)) if axis in selected else length
        total += n
    return total


def interventions_of(
    state: State, model: Model, name: str, specs: Sequence[s.InterventionSpec], check: Check
) -> Interventions:
    """The changes that a request asks for, bound to the model that it calls `name`. Raises `BadSelection`,
    `BadInput`, `BadRequest`, `UnknownSite`."""
    return bind_changes(state, model, name, read_changes(state, model, specs), check)


def ids_of(
    state: State, model: Model, asked: s.TraceRequest | s.GenerateRequest | s.TextSpec | s.SourceSpec
) -> list[int]:
    """The text that a request is about. Raises `BadInput`, `BadRequest`."""
    if (asked.text is None) == (asked.ids is None):
        raise BadRequest("give text or ids, one of the two.")
    if asked.text is not None:
        check_length(state, asked.text)
        ids = model.ids(asked.text)
    else:
        ids = model.ids(asked.ids or [])
    if len(ids) > state.limits.max_tokens:
        raise BadInput(
            f"the text has {len(ids):,} tokens; this server takes {state.limits.max_tokens:,}, so shorten it or start"
            " the server with a larger --max-tokens."
        )
    return ids


def hold(
    state: State,
    model: Model,
    name: str,
    ids: list[int],
    sent: Sequence[Sent],
    check: Check,
    text: str | None = None,
) -> Held:
    """The trace of a text with these changes: the one that is kept, or a new one. `text`: as it was typed."""
    id = state.traces.id_of(name, ids, [each.key for each in sent])
    held = state.traces.find(id)
    if held is not None:
        return held
    interventions = bind_changes(state, model, name, sent, check)
    changed = model.with_interventions(interventions) if interventions else model
    gauge = Gauge(model.config.n_layer, len(ids), check)
    start = time.perf_counter()
    trace = changed.trace(ids, beside=gauge)
    seconds = time.perf_counter() - start
    if text is None:
        text = (
            "".join(model.token(each).text for each in ids)
            if model.tokenizer is None
            else model.tokenizer.decode(ids)
        )
    changes = [each.change for each in sent]
    typed = text if model.tokenizer is not None and text and model.encode(text) == ids else ids
    held = Held(
        id,
        changed,
        trace,
        text,
        gauge.norms,
        seconds,
        changes=[_answer(each) for each in sent],
        python=program(name, typed, changes),
    )
    state.traces.keep(held)
    return held


def _answer(sent: Sent) -> s.ChangeAnswer:
    spec = sent.spec
    python = lines([sent.change])[0]
    return s.ChangeAnswer(
        spec.site, spec.action, spec.selection, spec.value, spec.source, spec.direction, len(sent.names), python
    )
