"""Every error Cutaway raises on purpose, in one tree.

    CutawayError
    ├── BadInput            text or ids that cannot be run (empty, too long, not UTF-8, id out of range)
    ├── BadConfig           a model configuration that is wrong or would change the computation
    ├── BadCheckpoint       a weights file that is damaged, hostile, incomplete or of a refused kind
    ├── BadTokenizer        a tokenizer that is missing, damaged or of an unknown kind
    ├── BadTemplate         a chat template that fails, or does what a template may not
    ├── BadNumbers          not-a-number or infinity where finite numbers are due
    ├── UnknownModel        no catalog name, folder or file is called that (nearest names offered)
    ├── UnknownSite         no declared site is called that (nearest names offered)
    ├── BadSelection        an index, axis or intervention that does not fit its site
    ├── DownloadFailed      the network, the hub or the disk stopped a download
    └── Missing             an optional extra or a tool that is not installed

Over HTTP there are a few more (`server/refusals.py`: TraceGone 410, Superseded 409, Busy 503, TooLarge 413).

A message is one sentence that says what happened, what was expected, and what to do next. The command line
prints it after ``cutaway: `` and leaves with `exit_code`; the server answers with `http_status`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CutawayError(Exception):
    """The root: catching it catches everything that Cutaway raises on purpose."""

    exit_code = 1
    http_status = 500


class BadInput(CutawayError):
    """Text or token ids that cannot be run."""

    exit_code = 2
    http_status = 422


class BadConfig(CutawayError):
    """A model configuration that is wrong, or that says something we would compute differently."""

    exit_code = 3
    http_status = 422


class BadCheckpoint(CutawayError):
    """A weights file that is damaged, hostile, incomplete or of a kind that is refused."""

    exit_code = 3
    http_status = 422


class BadTokenizer(CutawayError):
    """A tokenizer that is missing, damaged or of an unknown kind."""

    exit_code = 3
    http_status = 422


class BadTemplate(CutawayError):
    """A chat template that fails, or does what a template may not do."""

    exit_code = 3
    http_status = 422


class BadNumbers(CutawayError):
    """Not-a-number or infinity where finite numbers are due; names the tensor."""

    exit_code = 3
    http_status = 500


class UnknownModel(CutawayError):
    """No catalog name, folder or file is called that."""

    exit_code = 4
    http_status = 404


class UnknownSite(CutawayError, KeyError):
    """No declared site is called that."""

    exit_code = 2
    http_status = 404

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0])


class BadSelection(CutawayError, IndexError):
    """An index, an axis or an intervention that does not fit its site."""

    exit_code = 2
    http_status = 422


class DownloadFailed(CutawayError):
    """The network, the hub or the disk stopped a download; nothing half-written is left."""

    exit_code = 5
    http_status = 502


class Missing(CutawayError):
    """An optional extra, or a tool outside Python, is not installed."""

    exit_code = 6
    http_status = 501


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``'; did you mean "n_head"?'`` for the nearest known names, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not near:
        return ""
    return "; did you mean " + " or ".join(f'"{each}"' for each in near) + "?"
