"""A download as people see it: a bar on standard error in a terminal, a line at the start and the end elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cutaway.cli.words import can_show_unicode, harmless, note, size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class ProgressOnStderr:
    """A `weights.fetch.Progress`. Nothing is imported or drawn before the first stretch begins."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: Any = None

    def start(self, what: str, total: int | None) -> None:
        what = harmless(what)
        if not sys.stderr.isatty():
            note(what + (f" ({size(total)})" if total else ""))
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TimeRemainingColumn(compact=True),
        ]
        ascii_only = not can_show_unicode(sys.stderr)
        if ascii_only or total is None:
            columns.pop(1)
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(what, total=total)

    def advance(self, n: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, n)

    def done(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
