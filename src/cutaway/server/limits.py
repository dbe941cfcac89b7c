"""How much of everything one server takes on, and the middleware that holds requests to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from cutaway.server.answer import error_response
from cutaway.server.refusals import Busy, TooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """`max_tokens` in one text; `cache_bytes` that traces may hold; `body_bytes` of a request; `text_length` in
    characters, before it is cut into tokens; `workers` that compute; `turn`: seconds of one reader's work before
    others have theirs; `waiting` jobs in line before 503, and `waiting_each` of one reader's; `requests` open at
    once, and `requests_each` of one reader's; `models` loaded at once; `new_tokens` of one generation, and
    `writing_bytes` that all generations' caches may take."""

    max_tokens: int = 2048
    cache_bytes: int = 512 << 20
    body_bytes: int = 8 << 20
    text_length: int = 100_000
    workers: int = 2
    turn: float = 0.25
    waiting: int = 64
    waiting_each: int = 64
    requests: int = 256
    requests_each: int = 256
    models: int = 2
    new_tokens: int = 1024
    writing_bytes: int = 1 << 30

    def for_a_class(self) -> Limits:
        """The same for a hundred readers and more: room for all of them, and for none of them all of it. (A browser
        opens six connections to one address.)"""
        tokens = min(self.max_tokens, 1024)
        return replace(self, max_tokens=tokens, waiting=1024, waiting_each=12, requests=1024, requests_each=16)


READER = "cutaway.reader"


def reader_of(scope: Scope) -> str:
    """Whose request it is: the browser's own cookie where there is a token (see `door`); on loopback all are one's
    own."""
    return str(scope.get(READER, "here"))


class LimitRequests:
    """Refuses what is too long before it is read, and what is too much at once before it is begun."""

    def __init__(self, app: App, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._open = 0
        self._of: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._open >= self._limits.requests:
            busy = Busy(f"the server has {self._open} requests open, its limit; try again in a second.")
            await error_response(busy)(scope, receive, send)
            return
        reader = reader_of(scope)
        if self._of[reader] >= self._limits.requests_each:
            busy = Busy(f"you have {self._of[reader]} requests open, the most for one reader; try again in a second.")
            await error_response(busy)(scope, receive, send)
            return
        most = self._limits.body_bytes
        too_large = TooLarge(
            f"the request is longer than {most:,} bytes, the most that this server reads; send less."
        )
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            await error_response(too_large)(scope, receive, send)
            return
        self._open += 1
        self._of[reader] += 1
        try:
            await self._metered(scope, receive, send, too_large)
        finally:
            self._open -= 1
            self._of[reader] -= 1
            if not self._of[reader]:
                del self._of[reader]

    async def _metered(self, scope: Scope, receive: Receive, send: Send, too_large: TooLarge) -> None:
        """A body that does not say its length (chunked) is counted as it comes."""
        read = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self._limits.body_bytes:
                    raise too_large
            return message

        await self._app(scope, counted, send)
