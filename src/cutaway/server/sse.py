"""Answers that come bit by bit: server-sent events over an ordinary request, which the page can stop.

The work is an iterator of events, and each of its steps is a piece of work of its own at the desk. So a long answer
waits its turn between two steps like everybody else's, and stops at the next step (or inside it, where it calls
`check`) when its reader has gone. What fails before the first event is an ordinary error with its status; what fails
later is `event: error` with the same words.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cutaway.errors import CutawayError
from cutaway.server.desk import Check, Desk
from cutaway.server.refusals import ClientGone
from cutaway.wire.json_text import dumps
from cutaway.wire.structures import ErrorAnswer, ErrorBody

log = logging.getLogger("cutaway.server")

_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}

# For `responses=` of a route.
EVENTS: dict[str, Any] = {
    "description": "Server-sent events, as they come; closing the connection stops the work.",
    "content": {"text/event-stream": {"schema": _EVENT}},
}

SERVER_ERROR = "the server made a mistake; what it was stands in the terminal that it runs in."


@dataclass(frozen=True)
class Event:
    """`data`: a structure of `wire.structures`."""

    name: str
    data: Any

    def encode(self) -> bytes:
        # one line: JSON writes the ends of lines inside a string as \n
        return b"event: " + self.name.encode() + b"\ndata: " + dumps(self.data) + b"\n\n"


class Steps(Protocol):
    """Where events come from. `close` is called when no more are wanted."""

    async def next(self) -> Event | None: ...

    def close(self) -> None: ...


# None: nothing to tell yet, but others may have a turn.
Work = Callable[[Check], Iterator[Event | None]]


async def event_stream(desk: Desk, request: Request, work: Work) -> Response:
    """`work(check)` gives the events; it is begun, and its first event made, before this returns.

    Raises what `work` raises before its first event. `check` may be called from inside a step at any time, and
    raises when nobody waits any more.
    """
    steps = AtTheDesk(desk, request, work)
    return EventResponse(steps, await steps.next())


class AtTheDesk:
    """An iterator whose steps are done at the desk."""

    def __init__(self, desk: Desk, request: Request, work: Work) -> None:
        self._desk = desk
        self._request = request
        self._work = work
        self._events: Iterator[Event | None] | None = None
        self._check: Check = lambda: None

    async def next(self) -> Event | None:
        """The next event, None after the last. Only the first can be refused: what has begun takes its turns."""
        going_on = True
        while going_on:
            event, going_on = await self._desk.do(self._request, self._step, admitted=self._events is not None)
            if event is not None:
                return event
        return None

    def close(self) -> None:
        """Lets go of the work, and of all that it holds."""
        self._events = iter(())

    def _step(self, check: Check) -> tuple[Event | None, bool]:
        self._check = check
        if self._events is None:
            self._events = iter(self._work(lambda: self._check()))
        for event in self._events:
            return event, True
        return None, False


class EventResponse(Response):
    """Events as they come, until `steps.next` gives None."""

    media_type = "text/event-stream"

    def __init__(self, steps: Steps, first: Event | None) -> None:
        # nothing on the way is to hold events back until there are more, or to pack them
        super().__init__(headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._steps = steps
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_all(scope, send)
        finally:
            self._steps.close()

    async def _send_all(self, scope: Scope, send: Send) -> None:
        event = self._first
        while event is not None:
            await _send(send, event)
            try:
                event = await self._steps.next()
            except ClientGone:
                return
            except CutawayError as error:
                event = None
                await _send(send, _failure(type(error).__name__, str(error)))
            except Exception as error:
                event = None
                log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
                await _send(send, _failure("ServerError", SERVER_ERROR))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, event: Event) -> None:
    await send({"type": "http.response.body", "body": event.encode(), "more_body": True})


def _failure(kind: str, message: str) -> Event:
    return Event("error", ErrorAnswer(ErrorBody(kind, message)))
