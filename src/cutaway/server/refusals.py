"""What the server refuses, with its HTTP status. The rest of what can go wrong is `cutaway.errors`."""

from __future__ import annotations

from cutaway.errors import CutawayError


class TraceGone(CutawayError):
    """A trace that was evicted, or that this server never had; making it again gives the same id."""

    http_status = 410


class Superseded(CutawayError):
    """Work that was dropped because a newer keystroke of the same client came."""

    http_status = 409


class Busy(CutawayError):
    """More work than the server queues, or a server that is going away; try again in a moment."""

    http_status = 503


class TooLarge(CutawayError):
    """A request over a limit in bytes."""

    http_status = 413


class Refused(CutawayError):
    """A request that does not come from the page: wrong Host or Origin."""

    http_status = 403


class Unauthorized(CutawayError):
    """A request without this server's token."""

    http_status = 401


class NotFound(CutawayError):
    """No such address."""

    http_status = 404


class BadRequest(CutawayError):
    """A request that is not what the address takes."""

    http_status = 422


class ClientGone(CutawayError):
    """Nobody waits for the answer any more. Never sent."""

    http_status = 499
