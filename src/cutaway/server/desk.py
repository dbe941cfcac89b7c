"""Where work is done: a few threads, a bounded line before them, and the newest keystroke first.

Work that nobody waits for any more (its client went away, or typed on) never starts if it is still in line, and stops
at the next block if it runs: everything that computes calls the `check` that it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request

from cutaway.errors import CutawayError
from cutaway.server.limits import Limits
from cutaway.server.refusals import Busy, ClientGone, Superseded

T = TypeVar("T")
Check = Callable[[], None]

CLIENTS = 4096  # of so many the newest keystroke is remembered


class Job:
    """One piece of work, and why it should stop."""

    def __init__(self) -> None:
        self.stopped: CutawayError | None = None
        self.dropped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def drop(self, reason: CutawayError) -> None:
        """Its result is wanted no more."""
        self.stopped = self.stopped or reason
        if not self.dropped.done():
            self.dropped.set_result(None)

    def check(self) -> None:
        """Raises the reason to stop, if there is one."""
        if self.stopped is not None:
            raise self.stopped


class Desk:
    """Runs work for requests. Used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: set[Job] = set()
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._by_client: dict[str, dict[Job, int]] = {}
        self._closed = False

    async def do(
        self,
        request: Request,
        work: Callable[[Check], T],
        *,
        client: str | None = None,
        seq: int | None = None,
    ) -> T:
        """The result of `work(check)`, done in a thread.

        Raises what it raises; `Superseded` when a newer `seq` of the same `client` is or was asked for; `Busy` when
        the line is full; `ClientGone`.
        """
        if client is not None and seq is not None:
            self._newer(client, seq)
        if self._closed or len(self._jobs) >= self._limits.workers + self._limits.waiting:
            raise Busy("the server has all the work that it can line up; try again in a second.")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="cutaway")
        job = Job()
        self._jobs.add(job)
        if client is not None and seq is not None:
            self._by_client.setdefault(client, {})[job] = seq

        def run() -> T:
            job.check()
            # a change made by somebody may well overflow; the answer then says so in its own words
            with np.errstate(all="ignore"):
                return work(job.check)

        future = self._pool.submit(run)
        future.add_done_callback(lambda done: self._loop_call(job, client))
        return await self._result(request, job, future)

    async def _result(self, request: Request, job: Job, future: Future[T]) -> T:
        done = asyncio.wrap_future(future)
        done.add_done_callback(lambda each: each.cancelled() or each.exception())  # dropped work may fail unheard
        gone = asyncio.create_task(_disconnected(request))
        try:
            awaited: set[asyncio.Future[Any]] = {done, job.dropped, gone}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if done.done() and not done.cancelled():
                return done.result()
            if job.stopped is None:
                job.drop(ClientGone("the client went away."))
            assert job.stopped is not None
            raise job.stopped
        finally:
            if not done.done():
                job.drop(ClientGone("the request was cancelled."))
                future.cancel()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    def _newer(self, client: str, seq: int) -> None:
        newest = self._newest.get(client)
        if newest is not None and seq < newest:
            raise Superseded(f"keystroke {seq} is older than {newest}, which was asked for since; nothing to do.")
        self._newest[client] = seq
        self._newest.move_to_end(client)
        while len(self._newest) > CLIENTS:
            self._newest.popitem(last=False)
        for job, older in list(self._by_client.get(client, {}).items()):
            if older < seq:
                job.drop(Superseded(f"keystroke {older} was overtaken by {seq}; its work was dropped."))

    def _loop_call(self, job: Job, client: str | None) -> None:
        """From the worker's thread: the job has left the line."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            job.dropped.get_loop().call_soon_threadsafe(self._left, job, client)

    def _left(self, job: Job, client: str | None) -> None:
        self._jobs.discard(job)
        if client is not None and client in self._by_client:
            self._by_client[client].pop(job, None)
            if not self._by_client[client]:
                del self._by_client[client]

    def open(self) -> None:
        """Takes work (again)."""
        self._closed = False

    def close(self) -> None:
        """Stops everything at the next block; new work is refused."""
        self._closed = True
        for job in list(self._jobs):
            job.drop(Busy("the server is going away; start it again with `cutaway serve`."))
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


async def _disconnected(request: Request) -> None:
    """Ends when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
