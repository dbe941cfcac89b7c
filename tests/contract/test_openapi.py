"""The OpenAPI description is true: schemathesis makes requests from it, right and wrong ones, and holds the answers
to it. In this process, from a fixed seed, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from starlette.testclient import TestClient

from cutaway.server.app import create_app
from cutaway.server.limits import Limits
from tests.support.tiny import some_ids, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of schemathesis and what it brings; ours are errors elsewhere

MODEL = "llama-gqa"
# schemathesis' in-process client calls itself "testserver"
APP = create_app({MODEL: tiny_model(MODEL)}, hosts=("testserver",), limits=Limits(waiting=1000, new_tokens=8))

with TestClient(APP, base_url="http://testserver") as client:
    TRACE = client.post("/api/traces", json={"model": MODEL, "ids": some_ids(9)}).json()["id"]

# The tiny model has no tokenizer, and says so; and there is no such file.
NOT_HERE = {"/api/tokenize": 422, "/api/chat": 422, "/api/models/open": 404}

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20,
        # What is well formed may still mean nothing (a token id that the vocabulary lacks): 422 says so; 404 and 410
        # that there is no such thing; 409 that a newer keystroke came.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 410, 422]}},
    }
)
schema = schemathesis.openapi.from_asgi("/openapi.json", APP, config=CONFIG)

bounded = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is made up here may be looked for elsewhere."""
    monkeypatch.setenv("CUTAWAY_OFFLINE", "1")


@schema.parametrize()
@bounded
def test_the_description_is_true(case: Any) -> None:
    """Names and ids as they come: mostly of nothing that there is."""
    case.call_and_validate()


@schema.parametrize()
@bounded
def test_the_description_is_true_of_what_there_is(case: Any) -> None:
    """The same with a model and a trace that are there, so that what lies behind them answers."""
    if "id" in case.path_parameters:
        case.path_parameters["id"] = TRACE
    if "name" in case.path_parameters:
        case.path_parameters["name"] = MODEL
    if "parameter" in case.path_parameters:
        case.path_parameters["parameter"] = "blocks.0.attn.W_Q"
    if "other" in (case.query or {}):
        case.query["other"] = TRACE
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL
    case.call_and_validate()


def test_each_address_answers_its_own_examples() -> None:
    """The tests above would hold of a server that refuses everything."""
    there = {"id": TRACE, "name": MODEL, "parameter": "blocks.0.attn.W_Q"}
    with TestClient(APP, base_url="http://testserver") as client:
        for path, operations in APP.openapi()["paths"].items():
            for method, operation in operations.items():
                query = {
                    each["name"]: each["examples"]["one"]["value"]
                    for each in operation.get("parameters", [])
                    if each["in"] == "query" and "examples" in each
                }
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
                if "model" in (body or {}):
                    body = {**body, "model": MODEL}
                if "other" in query:
                    query["other"] = TRACE
                query.pop("minus", None)  # its example is that of plus, and the two would cancel out
                answer = client.request(method, path.format_map(there), params=query, json=body)
                assert answer.status_code == NOT_HERE.get(path, 200), (path, answer.text)


def test_every_route_declares_its_errors() -> None:
    for path, operations in APP.openapi()["paths"].items():
        for operation in operations.values():
            declared = set(operation["responses"])
            assert {"200", "403", "422", "500", "503"} <= declared, path
            assert ("410" in declared) == ("{id}" in path), path
            for status, response in operation["responses"].items():
                if status != "200":
                    schema_of = response["content"]["application/json"]["schema"]
                    assert schema_of == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, status)
