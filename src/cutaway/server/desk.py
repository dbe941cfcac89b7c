"""Where work is done: a few threads, a bounded line before them, readers in turn, and the newest keystroke first.

Work that nobody waits for any more (its client went away, or typed on) never starts if it is still in line, and stops
at the next block if it runs: everything that computes calls the `check` that it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request

from cutaway.errors import CutawayError
from cutaway.server.limits import Limits, reader_of
from cutaway.server.line import Crew
from cutaway.server.refusals import Busy, ClientGone, Superseded

T = TypeVar("T")
Check = Callable[[], None]
Client = tuple[str, str]  # a reader, and a tab of theirs

CLIENTS = 4096  # of so many the newest keystroke is remembered


class Job:
    """One piece of work for `reader` (of a keystroke in `tab`, if it is of one), and why it should stop."""

    def __init__(
        self,
        reader: str,
        tab: Client | None,
        work: Callable[[Check], Any],
        on_end: Callable[[Job], None],
        follows: bool = False,
    ) -> None:
        self.reader = reader
        self.follows = follows
        self.tab = tab
        self.stopped: CutawayError | None = None
        self._work = work
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self._loop.create_future()
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail unheard

    def drop(self, reason: CutawayError) -> None:
        """Its result is wanted no more."""
        self.stopped = self.stopped or reason
        self._settle(None, reason)

    def check(self) -> None:
        """Raises the reason to stop, if there is one."""
        if self.stopped is not None:
            raise self.stopped

    def run(self) -> None:
        """Does the work, in a worker's thread."""
        result, error = None, None
        try:
            self.check()
            # a change made by somebody may well overflow; the answer then says so in its own words
            with np.errstate(all="ignore"):
                result = self._work(self.check)
        except Exception as err:
            error = err
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            self._loop.call_soon_threadsafe(self._end, result, error)

    def _end(self, result: Any, error: Exception | None) -> None:
        self._settle(result, error)
        self._on_end(self)

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class Desk:
    """Runs work for requests. Used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._crew: Crew[Job] | None = None
        self._jobs: set[Job] = set()
        self._newest: OrderedDict[Client, int] = OrderedDict()
        self._by_client: dict[Client, dict[Job, int]] = {}
        self._closed = False

    async def do(
        self,
        request: Request,
        work: Callable[[Check], T],
        *,
        client: str | None = None,
        seq: int | None = None,
        admitted: bool = False,
    ) -> T:
        """The result of `work(check)`, done in a thread. `admitted`: a further piece of what was let in before; it
        takes its turn, and is not refused.

        Raises what it raises; `Superseded` when a newer `seq` of the same `client` is or was asked for; `Busy` when
        the line is full, or the reader has too much in it; `ClientGone`.
        """
        reader = reader_of(request.scope)
        tab = (reader, client) if client is not None and seq is not None else None
        if tab is not None and seq is not None:
            self._newer(tab, seq)
        if self._closed:
            raise Busy("the server is going away; start it again with `cutaway serve`.")
        if self._crew is None:
            self._crew = Crew(self._limits.workers, self._limits.turn)
        # what is read (of a trace, of a model) belongs to what was asked before
        job = Job(reader, tab, work, self._left, follows=request.method == "GET")
        self._crew.put(job, _admit if admitted else self._refuse)
        self._jobs.add(job)
        if tab is not None and seq is not None:
            self._by_client.setdefault(tab, {})[job] = seq
        try:
            result: T = await _result(request, job)
            return result
        finally:
            if not job.done.done():  # the request was cancelled
                self._drop(job, ClientGone("the request was cancelled."))
            elif job.stopped is not None:
                self._drop(job, job.stopped)

    def _refuse(self, waiting: int, own: int) -> None:
        if own >= self._limits.waiting_each:
            raise Busy(f"{own} of your requests wait already, the most for one reader; try again in a second.")
        if waiting >= self._limits.waiting:
            raise Busy("the server has all the work that it can line up; try again in a second.")

    def _newer(self, tab: Client, seq: int) -> None:
        newest = self._newest.get(tab)
        if newest is not None and seq < newest:
            raise Superseded(f"keystroke {seq} is older than {newest}, which was asked for since; nothing to do.")
        self._newest[tab] = seq
        self._newest.move_to_end(tab)
        while len(self._newest) > CLIENTS:
            self._newest.popitem(last=False)
        for job, older in list(self._by_client.get(tab, {}).items()):
            if older < seq:
                self._drop(job, Superseded(f"keystroke {older} was overtaken by {seq}; its work was dropped."))

    def _drop(self, job: Job, reason: CutawayError) -> None:
        """Out of the line, if it is still there; else it stops at its next check."""
        job.drop(reason)
        if self._crew is not None and self._crew.leave(job):
            self._left(job)

    def _left(self, job: Job) -> None:
        self._jobs.discard(job)
        if job.tab is not None and job.tab in self._by_client:
            self._by_client[job.tab].pop(job, None)
            if not self._by_client[job.tab]:
                del self._by_client[job.tab]

    def open(self) -> None:
        """Takes work (again)."""
        self._closed = False

    def close(self) -> None:
        """Stops everything at the next block; new work is refused."""
        self._closed = True
        for job in list(self._jobs):
            self._drop(job, Busy("the server is going away; start it again with `cutaway serve`."))
        if self._crew is not None:
            self._crew.dismiss()
            self._crew = None


def _admit(waiting: int, own: int) -> None:
    """However long the line is."""


async def _result(request: Request, job: Job) -> Any:
    gone = asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait({job.done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done.done():
            job.drop(ClientGone("the client went away."))
        return job.done.result()
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def disconnected(request: Request) -> None:
    """Ends when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
