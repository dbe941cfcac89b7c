"""JSON out: structures as compact UTF-8, errors as `{"error": {"kind", "message"}}`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cutaway.errors import CutawayError
from cutaway.wire.json_text import dumps
from cutaway.wire.structures import ErrorAnswer, ErrorBody

# A trace's id never changes its meaning, so what is read of it may be kept by the page for as long as it likes.
IMMUTABLE = {"cache-control": "private, max-age=3600, immutable"}
FRESH = {"cache-control": "no-store"}


def json_response(value: Any, *, status: int = 200, immutable: bool = False) -> Response:
    headers = IMMUTABLE if immutable else FRESH
    return Response(dumps(value), status_code=status, media_type="application/json", headers=headers)


def frame_response(frame: bytes) -> Response:
    """A safetensors file."""
    return Response(frame, media_type="application/octet-stream", headers=IMMUTABLE)


def error_response(error: CutawayError) -> Response:
    status = error.http_status
    response = json_response(ErrorAnswer(ErrorBody(type(error).__name__, str(error))), status=status)
    if status == 503:
        response.headers["retry-after"] = "1"
    return response
