"""Answers that come bit by bit: server-sent events over an ordinary request, which the page can stop.

Each step of the work is a piece of work of its own at the desk. So a long answer waits its turn between two steps like
everybody else's, and stops at the next step (or inside it, where it calls `check`) when its reader has gone. What
fails before the first event is an ordinary error with its status; what fails later is `event: error` with the same
words.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cutaway.errors import CutawayError
from cutaway.server.desk import Check, Desk
from cutaway.server.refusals import ClientGone
from cutaway.wire.json_text import dumps
from cutaway.wire.structures import ErrorAnswer, ErrorBody

log = logging.getLogger("cutaway.server")

Event = tuple[str, Any]  # its name, and a structure of `wire.structures`
Events = AsyncGenerator[Event, None]

# For `responses=` of a route.
STREAM: dict[str, Any] = {
    "description": "Server-sent events, as they come; closing the connection stops the work.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}

SERVER_ERROR = "the server made a mistake; what it was stands in the terminal that it runs in."


async def event_stream(events: Events) -> Response:
    """The answer, once the first event is there. Raises what comes before it."""
    return _EventResponse(events, await anext(events, None))


async def at_the_desk(desk: Desk, request: Request, work: Callable[[Check], Iterator[Event]]) -> Events:
    """The events of `work(check)`, each of them made by a worker, in turn with others' work.

    `check` may be called at any time inside `work`, and raises when nobody waits any more. Only the first event can
    be refused because the line is full: what has begun takes its turns.
    """
    turn: list[Check] = []
    steps: Iterator[Event] | None = None

    def step(check: Check) -> Event | None:
        nonlocal steps
        turn[:] = [check]
        if steps is None:
            steps = work(lambda: turn[0]())
        return next(steps, None)

    event = await desk.do(request, step)
    while event is not None:
        yield event
        event = await desk.do(request, step, admitted=True)


class _EventResponse(Response):
    media_type = "text/event-stream"

    def __init__(self, events: Events, first: Event | None) -> None:
        # nothing on the way is to hold events back until there are more, or to pack them
        super().__init__(headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send_all(scope, send)
        finally:
            self._steps.close()

    async def _send_all(self, scope: Scope, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_all(scope, send)
        finally:
            await self._events.aclose()

    async def _send_all(self, scope: Scope, send: Send) -> None:
        event = self._first
        while event is not None:
            await _send(send, event)
            try:
                event = await anext(self._events, None)
            except ClientGone:
                return
            except CutawayError as error:
                event = None
                await _send(send, _error(type(error).__name__, str(error)))
            except Exception as error:
                event = None
                log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
                await _send(send, _error("ServerError", SERVER_ERROR))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, event: Event) -> None:
    name, data = event
    # one line of data: JSON writes the ends of lines inside a string as \n
    text = b"event: " + name.encode() + b"\ndata: " + dumps(data) + b"\n\n"
    await send({"type": "http.response.body", "body": text, "more_body": True})


def _error(kind: str, message: str) -> Event:
    return "error", ErrorAnswer(ErrorBody(kind, message))
