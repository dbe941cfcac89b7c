"""What a command is given: text or ids, a model's name, changes, an index; and the model behind the name."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.errors import BadInput, BadSelection

if TYPE_CHECKING:
    from cutaway.engine import Model
    from cutaway.trace.interventions import Interventions

# More than any context holds; a whole disk piped in by mistake is refused before it fills the memory.
MOST_BYTES = 64 << 20


def given_text(text: str) -> str:
    """TEXT as it was typed, or for "-" all of standard input without the newline that ends it. Raises `BadInput` when
    the bytes are not UTF-8."""
    if text != "-":
        # Python hands over bytes that are not UTF-8 as lone surrogates
        return _decoded(os.fsencode(text), "the text")
    raw = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise BadInput(f"standard input holds more than {MOST_BYTES >> 20} MB of text; give less.")
    text = _decoded(raw, "standard input")
    return text[: -2 if text.endswith("\r\n") else -1] if text.endswith("\n") else text


def _decoded(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{what} is not UTF-8: byte 0x{raw[error.start]:02X} at offset {error.start:,} begins no character;"
            " convert it first, for example with iconv."
        ) from None


def given_ids(text: str) -> list[int]:
    """Token ids, separated by spaces or commas (a JSON list will do). Raises `BadInput`."""
    pieces = [each for each in re.split(r"[\s,\[\]]+", text) if each]
    wrong = next((each for each in pieces if not re.fullmatch(r"[0-9]{1,10}", each)), None)
    if wrong is not None:
        raise BadInput(f'"{wrong[:40]}" is not a token id; with --ids give whole numbers, such as "5127 15171".')
    return [int(each) for each in pieces]


def open_model(name: str | None) -> Model:
    """The model, brought first (with a progress bar on standard error) when it is not here."""
    from cutaway.cli.downloads import ProgressOnStderr
    from cutaway.cli.words import note
    from cutaway.engine import load
    from cutaway.kernels import native

    if native.MODULE is None:
        note(f"the native kernels are not in use ({native.REASON}); NumPy computes the same, some times slower.")
    return load(name, progress=ProgressOnStderr())


# -- changes -----------------------------------------------------------------------------------------------------


def changed(model: Model, zero: Sequence[str], intervene: Sequence[str]) -> Model:
    """`model` with what `--zero` and `--intervene` say, in that order. Raises `BadSelection`, `UnknownSite`."""
    from cutaway.trace.interventions import Interventions
    from cutaway.trace.interventions import zero as zeroed

    for each in zero:
        site, selection = site_and_selection(each)
        model = model.intervene({site: zeroed(**selection)})
    for each in intervene:
        listed = _listed(each)
        extra: Interventions = Interventions.of(model.config, listed)
        model = model.with_interventions(Interventions(model.config, [*model.interventions.bound, *extra.bound]))
    return model


def site_and_selection(text: str) -> tuple[str, dict[str, Any]]:
    """ "blocks.3.attn.z:head=2,pos=0:4" as a name and a selection by axis. Raises `BadSelection`."""
    site, _, rest = text.partition(":")
    selection: dict[str, Any] = {}
    for part in [each for each in rest.split(",") if each]:
        axis, equals, index = part.partition("=")
        if not equals or not re.fullmatch(r"\w+", axis):
            raise BadSelection(f'"{text}": expected SITE:axis=index,…, such as blocks.3.attn.z:head=2,pos=0:4.')
        selection[axis] = _index(index, text)
    return site, selection


def _index(text: str, whole: str) -> int | slice:
    if re.fullmatch(r"-?\d{1,10}", text):
        return int(text)
    if re.fullmatch(r"(-?\d{1,10})?:(-?\d{1,10})?", text):
        start, _, stop = text.partition(":")
        return slice(int(start) if start else None, int(stop) if stop else None)
    raise BadSelection(
        f'"{whole}": "{text}" is not an index; give a number (2) or a range (0:4, the last not included).'
    )


def _listed(text: str) -> list[dict[str, Any]]:
    """JSON, or a file of JSON: one change or a list of them."""
    source = "--intervene"
    if not text.lstrip().startswith(("[", "{")):
        source = text
        try:
            text = Path(text).read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadSelection(f"{source} is not UTF-8 (byte {error.start:,}); give a file of JSON.") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a path"
            raise BadSelection(f"{source[:80]} cannot be read ({why}); give JSON, or a file of it.") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSelection(f"{source[:80]} is not JSON: {error}.") from None
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in listed):
        raise BadSelection(
            f'{source[:80]} should hold {{"site": …, "action": …, "selection": …, "value": …}}, or a list of these.'
        )
    return listed


def site_and_index(text: str) -> tuple[str, tuple[int, ...]]:
    """ "blocks.3.attn.qk:2,5,4" as a name and one number for each axis. Raises `BadSelection`."""
    site, _, rest = text.rpartition(":")
    if not site or not re.fullmatch(r"-?\d{1,10}(,-?\d{1,10})*", rest):
        raise BadSelection(
            f'"{text}": expected SITE:I,J,K, one number for each axis, such as blocks.3.attn.qk:2,5,4.'
        )
    return site, tuple(int(each) for each in rest.split(","))
