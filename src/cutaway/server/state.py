"""What the routes share, and how they declare what can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from cutaway.server.desk import Desk
from cutaway.server.limits import Limits
from cutaway.server.models import Models
from cutaway.server.refusals import BadRequest, ClientGone
from cutaway.server.traces import Traces
from cutaway.server.writing import Caches
from cutaway.trace.selection import Index
from cutaway.wire.query import INDEX_PATTERN, parse_index
from cutaway.wire.structures import ErrorAnswer

FRAME: dict[str, Any] = {
    "description": "A safetensors file (F32 and I32).",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}

ERRORS = {
    401: "The server asks for a token, which the request lacks.",
    403: "The request does not come from this server's own page.",
    404: "No model, site or parameter is called that.",
    409: "A newer keystroke of the same client came.",
    410: "The trace was evicted; send its text again to make it.",
    413: "The request is longer than the server reads.",
    422: "The request is not what this address takes.",
    500: "The server or the model's numbers failed.",
    503: "More work than the server queues; try again.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: these, and what every route may answer."""
    return {
        status: {"model": ErrorAnswer, "description": ERRORS[status]}
        for status in sorted({401, 403, 422, 500, 503, *statuses})
    }


@dataclass(frozen=True)
class State:
    limits: Limits
    models: Models
    traces: Traces
    desk: Desk
    caches: Caches


def example(value: Any) -> dict[str, Any]:
    """For `openapi_examples=`."""
    return {"one": {"value": value}}


class Body:
    """A request's JSON as a structure, strictly: "3" is not 3, and an unknown key is refused."""

    def __init__(self, structure: type, example: dict[str, Any]) -> None:
        self.structure = structure
        self.example = example
        self._adapter: TypeAdapter[Any] = TypeAdapter(structure)

    async def read(self, request: Request) -> Any:
        """Raises `BadRequest`, naming the field."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise BadRequest("the request's body must be JSON, sent with content-type: application/json.")
        try:
            raw = await request.body()
        except ClientDisconnect:  # typed on before the server had even looked
            raise ClientGone("the client went away.") from None
        try:
            return self._adapter.validate_json(raw, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(each) for each in first["loc"])
            raise BadRequest(f"{where or 'the body'}: {first['msg']}.") from None

    def openapi(self) -> dict[str, Any]:
        """For `openapi_extra=`; `app.describe` adds the schema itself."""
        reference = {"$ref": f"#/components/schemas/{self.structure.__name__}"}
        content = {"application/json": {"schema": reference, "example": self.example}}
        return {"requestBody": {"required": True, "content": content}}

    def schemas(self) -> dict[str, Any]:
        """The JSON schemas of the structure and those in it, by name."""
        schema = self._adapter.json_schema(ref_template="#/components/schemas/{model}", mode="validation")
        return {**schema.pop("$defs", {}), self.structure.__name__: schema}


AxisIndex = Annotated[str | None, Query(pattern=INDEX_PATTERN, max_length=4000, description="3, or 1,4 or 0:10")]


def selection(
    pos: AxisIndex = None,
    q_pos: AxisIndex = None,
    k_pos: AxisIndex = None,
    head: AxisIndex = None,
    kv_head: AxisIndex = None,
    d_head: AxisIndex = None,
    d_model: AxisIndex = None,
    d_mlp: AxisIndex = None,
    vocab: AxisIndex = None,
    feature: AxisIndex = None,
) -> dict[str, Index]:
    """Axis -> index, of those that were said."""
    return {axis: parse_index(text, axis) for axis, text in locals().items() if text is not None}


def parameter_selection(
    head: AxisIndex = None,
    kv_head: AxisIndex = None,
    d_head: AxisIndex = None,
    d_model: AxisIndex = None,
    d_mlp: AxisIndex = None,
    vocab: AxisIndex = None,
    n_ctx: AxisIndex = None,
) -> dict[str, Index]:
    """Axis -> index, of those that were said."""
    return {axis: parse_index(text, axis) for axis, text in locals().items() if text is not None}


def numbers_of(text: str | None) -> list[int]:
    """ "919,1464" -> [919, 1464]."""
    return [int(each) for each in text.split(",")] if text else []
