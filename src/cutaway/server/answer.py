"""JSON out: structures as compact UTF-8, errors as `{"error": {"kind", "message"}}`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from cutaway.errors import CutawayError
from cutaway.wire.json_text import dumps
from cutaway.wire.structures import ErrorAnswer, ErrorBody

# A trace's id never changes its meaning, so what is read of it may be kept by the page for as long as it likes.
IMMUTABLE = {"cache-control": "private, max-age=3600, immutable"}
AT_ONCE = 1 << 18  # bytes of a file
FRESH = {"cache-control": "no-store"}


def json_response(value: Any, *, status: int = 200, immutable: bool = False) -> Response:
    headers = IMMUTABLE if immutable else FRESH
    return Response(dumps(value), status_code=status, media_type="application/json", headers=headers)


def frame_response(frame: bytes) -> Response:
    """A safetensors file."""
    return Response(frame, media_type="application/octet-stream", headers=IMMUTABLE)


def file_response(parts: Sequence[bytes | memoryview], name: str) -> Response:
    """A file to be kept, from its parts as they lie in memory: sent a little at a time, so that a slow reader makes
    no copy of it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "file"
    headers = {
        **IMMUTABLE,
        "content-disposition": f'attachment; filename="{name}"',
        "content-length": str(sum(len(each) for each in parts)),
    }

    async def slices() -> AsyncIterator[bytes]:
        for part in parts:
            for at in range(0, len(part), AT_ONCE):
                yield bytes(part[at : at + AT_ONCE])

    return StreamingResponse(slices(), media_type="application/octet-stream", headers=headers)


def error_response(error: CutawayError) -> Response:
    status = error.http_status
    response = json_response(ErrorAnswer(ErrorBody(type(error).__name__, str(error))), status=status)
    if status == 503:
        response.headers["retry-after"] = "1"
    return response
