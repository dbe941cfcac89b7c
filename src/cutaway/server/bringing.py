"""Bringing a model onto this machine while the page watches: a thread of its own, and what it says as events.

It does not stand in the line of `desk`: a download computes nothing, and may take an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

from starlette.requests import Request

from cutaway.server.desk import disconnected
from cutaway.server.refusals import ClientGone
from cutaway.server.sse import Event
from cutaway.weights import catalog
from cutaway.wire import structures as s

LOOK_EVERY = 0.2  # seconds


class _Watched:
    """A `weights.fetch.Progress` that remembers the newest of it, and stops the download when nobody looks."""

    def __init__(self) -> None:
        self.now = s.PullProgress("looking for it", 0, None)
        self.stopped = False

    def start(self, what: str, total: int | None) -> None:
        self.now = s.PullProgress(what, 0, total)

    def advance(self, n: int) -> None:
        if self.stopped:
            raise ClientGone("nobody waits for this download any more.")
        self.now = s.PullProgress(self.now.what, self.now.bytes + n, self.now.total)

    def done(self) -> None: ...


class Bringing:
    """Events of one pull: `progress` a few times a second, while it changes, and `end`. What has come of a hub's file
    when the reader goes is kept, and the next pull goes on from there."""

    def __init__(self, request: Request, name: str) -> None:
        self._name = name
        self._progress = _Watched()
        self._told: s.PullProgress | None = None
        self._error: Exception | None = None
        self._ended = False
        self._gone = asyncio.create_task(disconnected(request))
        self._thread = threading.Thread(target=self._bring, name="cutaway-pull", daemon=True)
        self._thread.start()

    def _bring(self) -> None:
        try:
            catalog.pull(self._name, progress=self._progress)
        except Exception as error:
            self._error = error

    async def next(self) -> Event | None:
        """Raises what the pull raises, and `ClientGone`."""
        while not self._ended:
            if self._gone.done():
                self.close()
                raise ClientGone("the client went away.")
            alive = self._thread.is_alive()
            now = self._progress.now
            if alive and now is not self._told:
                self._told = now
                return Event("progress", now)
            if not alive:
                self._ended = True
                if self._error is not None:
                    raise self._error
                return Event("end", s.PullEnd(self._name))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._gone), LOOK_EVERY)
        return None

    def close(self) -> None:
        self._progress.stopped = True
        self._gone.cancel()
