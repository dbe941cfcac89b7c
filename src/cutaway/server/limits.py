"""How much of everything one server takes on, and the middleware that holds requests to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
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
    characters, before it is cut into tokens; `workers` that compute; `waiting` jobs in line before 503; `requests`
    open at once; `models` loaded at once."""

    max_tokens: int = 1024
    cache_bytes: int = 512 << 20
    body_bytes: int = 8 << 20
    text_length: int = 100_000
    workers: int = 2
    waiting: int = 64
    requests: int = 256
    models: int = 2


class LimitRequests:
    """Refuses what is too long before it is read, and what is too much at once before it is begun."""

    def __init__(self, app: App, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._open >= self._limits.requests:
            busy = Busy(f"the server has {self._open} requests open, its limit; try again in a second.")
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
        try:
            await self._metered(scope, receive, send, too_large)
        finally:
            self._open -= 1

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
