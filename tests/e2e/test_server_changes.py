"""Changes over the wire: the server does what the Python that it writes does, and refuses what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import cutaway
from cutaway.server import changes
from cutaway.server.app import create_app
from cutaway.trace.interventions import Interventions
from cutaway.wire.frames import read_frame
from tests.e2e.test_server import HERE, make, refusal
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model

MODEL = "llama-gqa"
IDS, OTHER = some_ids(8), some_ids(6, seed=5)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app({MODEL: tiny_model(MODEL)}, port=8765)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


def logits(client: TestClient, id: str) -> np.ndarray:
    return read_frame(client.get(f"/api/traces/{id}/sites?names=logits").content)[0]["logits"]


EVERY: list[dict[str, Any]] = [
    {"site": "blocks.1.attn.hook_z", "action": "zero", "selection": {"head": 2, "pos": {"start": 2}}},
    {"site": "blocks.*.mlp_out", "action": "scale", "value": 0.9},
    {
        "site": "blocks.1.attn.pattern",
        "action": "set",
        "selection": {"head": 1, "q_pos": 4, "k_pos": 2},
        "value": 0.5,
    },
    {"site": "blocks.0.attn.v", "action": "mean", "selection": {"kv_head": [0]}},
    {"site": "blocks.*.attn.rot_*", "action": "skip"},
    {"site": "blocks.0.attn.attn_scores", "action": "skip", "selection": {"head": 3}},
    {"site": "blocks.2.resid_pre", "action": "patch", "selection": {"pos": 3}, "source": {"ids": OTHER, "pos": 5}},
    {"site": "blocks.1.attn_out", "action": "patch", "selection": {"pos": [0, 5]}, "source": {"ids": OTHER}},
    {
        "site": "blocks.1.resid_pre",
        "action": "add",
        "selection": {"pos": [6, 7]},
        "direction": {"plus": [3, 4], "minus": [9], "scale": 3.0},
    },
]


def by_hand() -> cutaway.Model:
    model = tiny_model(MODEL)
    table, other = model.parameters["W_E"], model.trace(OTHER)
    for each in [
        {"blocks.1.attn.z": cutaway.zero(head=2, pos=slice(2, None))},
        {"blocks.*.mlp_out": cutaway.scale(0.9)},
        {"blocks.1.attn.pattern": cutaway.set_to(0.5, head=1, q_pos=4, k_pos=2)},
        {"blocks.0.attn.v": cutaway.mean(kv_head=[0])},
        {"blocks.*.attn.rot_*": cutaway.skip()},
        {"blocks.0.attn.attn_scores": cutaway.skip(head=3)},
        {"blocks.2.resid_pre": cutaway.patch(other, pos=3, from_pos=5)},
        {"blocks.1.attn_out": cutaway.patch(other, pos=[0, 5])},
        {"blocks.1.resid_pre": cutaway.add(3 * (table[3] + table[4] - table[9]), pos=[6, 7])},
    ]:
        model = model.intervene(each)
    return model


def test_each_does_what_the_engine_does(client: TestClient) -> None:
    made = make(client, IDS, interventions=EVERY)
    expected = by_hand().trace(IDS)["logits"]
    np.testing.assert_allclose(logits(client, made["id"]), expected, rtol=1e-4, atol=1e-4)
    for n in range(len(EVERY)):  # and each of them does something
        without = make(client, IDS, interventions=EVERY[:n] + EVERY[n + 1 :])
        assert np.abs(logits(client, without["id"]) - expected).max() > 1e-3, EVERY[n]


def test_they_come_back_as_they_were_sent(client: TestClient) -> None:
    made = make(client, IDS, interventions=EVERY)
    said = made["interventions"]
    assert [each["site"] for each in said] == ["blocks.1.attn.z", *(each["site"] for each in EVERY[1:])]
    for sent, each in zip(EVERY, said, strict=True):
        assert each["action"] == sent["action"] and each["value"] == sent.get("value")
        assert each["source"] == (sent.get("source") and {"text": None, "pos": None, **sent["source"]})
        assert each["direction"] == sent.get("direction")
        assert each["selection"].keys() == sent.get("selection", {}).keys()
    assert [each["sites"] for each in said] == [1, 3, 1, 1, 6, 1, 1, 1, 1]
    again = client.get(f"/api/traces/{made['id']}").json()
    assert again["interventions"] == said and again["python"] == made["python"]
    # what came back can be sent again, and is the same work
    fields = ("site", "action", "selection", "value", "source", "direction")
    back = [{field: each[field] for field in fields} for each in said]
    assert make(client, IDS, interventions=back)["id"] == made["id"]


def test_each_line_can_be_pasted(client: TestClient) -> None:
    made = make(client, IDS, interventions=EVERY)
    every: list[Any] = []
    for each in made["interventions"]:
        known: dict[str, Any] = {"cutaway": cutaway, "model": tiny_model(MODEL)}
        exec(each["python"], known)
        bound = known["edited"].interventions.bound
        assert len(bound) == each["sites"]
        every += bound
    model = tiny_model(MODEL).with_interventions(Interventions(tiny_model(MODEL).config, every))
    np.testing.assert_allclose(model.trace(IDS)["logits"], by_hand().trace(IDS)["logits"], rtol=1e-5, atol=1e-5)


def test_the_whole_is_a_program(tmp_path: Path) -> None:
    folder = tmp_path / "speller"
    write_tiny_speller(folder)
    name = str(folder)
    app = create_app({name: cutaway.load(folder)}, port=8765)
    asked = {
        "model": name,
        "text": "the tide's",
        "interventions": [
            {"site": "blocks.*.attn.qk_scaled", "action": "skip"},
            {"site": "blocks.1.resid_pre", "action": "patch", "selection": {"pos": 1}, "source": {"text": 'a "b"\n'}},
            {"site": "blocks.0.resid_pre", "action": "add", "direction": {"minus": [3], "scale": 0.5}},
        ],
    }
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        made = client.post("/api/traces", json=asked).json()
        found = logits(client, made["id"])
    known: dict[str, Any] = {}
    exec(made["python"], known)
    assert '"the tide\'s"' in made["python"]
    np.testing.assert_array_equal(known["trace"]["logits"], found)


def test_a_source_is_a_trace_of_its_own(client: TestClient) -> None:
    """Patching from a text twice runs it once; and a text and its ids are the same source."""
    held = client.app.state.cutaway.traces  # type: ignore[attr-defined]
    source = some_ids(5, seed=11)
    before = len(held)
    patch = {"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": source}}
    make(client, IDS, interventions=[patch])
    assert len(held) == before + 2
    make(client, IDS, interventions=[{**patch, "site": "blocks.1.mlp_out"}])
    make(client, source)
    assert len(held) == before + 3


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"site": "blocks.0.mlp_out", "action": "patch"}, "BadSelection", "takes its values from a source"),
    ({"site": "blocks.0.mlp_out", "action": "zero", "source": {"ids": [1]}}, "BadSelection", "nothing else has one"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {}}, "BadRequest", "text or ids"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [1], "text": "a"}}, "BadRequest", "one of"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": []}}, "BadInput", "empty"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [999]}}, "BadInput", "outside"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"text": "a"}}, "BadInput", "no tokenizer"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [1], "pos": 4}}, "BadSelection", "outside"),
    ({"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [1]}, "value": 1}, "BadSelection", "leave"),
    ({"site": "blocks.0.mlp_out", "action": "set", "direction": {"plus": [1]}}, "BadSelection", "the action add"),
    (
        {"site": "blocks.0.mlp_out", "action": "add", "direction": {"plus": [1]}, "value": 2},
        "BadSelection",
        "in place",
    ),
    ({"site": "blocks.0.mlp_out", "action": "add", "direction": {}}, "BadInput", "token ids"),
    ({"site": "blocks.0.mlp_out", "action": "add", "direction": {"plus": [97]}}, "BadInput", "outside"),
    ({"site": "blocks.0.mlp_out", "action": "add", "direction": {"plus": [-1]}}, "BadInput", "outside"),
    ({"site": "blocks.0.attn.z", "action": "add", "direction": {"plus": [1]}}, "BadSelection", "shape"),
    (
        {"site": "blocks.0.mlp_out", "action": "add", "direction": {"plus": [1]}, "selection": {"array": 1}},
        "BadSelection",
        "no axis",
    ),
    (
        {"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [1]}, "selection": {"from_pos": 1}},
        "BadSelection",
        "no axis",
    ),
    ({"site": "blocks.0.attn.pattern", "action": "skip"}, "BadSelection", "softmax"),
    ({"site": "blocks.0.attn_out", "action": "skip"}, "BadSelection", "cannot be skipped"),
    ({"site": "blocks.0.attn.qk_scaled", "action": "skip", "value": 1}, "BadSelection", "no value"),
    ({"site": "blocks.0.mlp_out", "action": "steer"}, "BadSelection", "not an intervention"),
    ({"site": "blocks.9.mlp_out", "action": "zero"}, "UnknownSite", "no site"),
    ({"site": "blocks.*.nothing", "action": "zero"}, "UnknownSite", "matches"),
    ({"site": "blocks.0.mlp_out", "action": "zero", "selection": {"pos": {"step": 0}}}, "BadSelection", "step 0"),
]


@pytest.mark.parametrize(("change", "kind", "why"), REFUSED)
def test_what_does_not_fit_is_refused(client: TestClient, change: dict[str, Any], kind: str, why: str) -> None:
    status = 404 if kind == "UnknownSite" else 422
    answer = client.post("/api/traces", json={"model": MODEL, "ids": IDS, "interventions": [change]})
    assert why in refusal(answer, status, kind)


def test_what_one_reader_may_ask_for_is_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*interventions: dict[str, Any]) -> Any:
        return client.post("/api/traces", json={"model": MODEL, "ids": IDS, "interventions": list(interventions)})

    many = [{"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": [i]}} for i in range(17)]
    assert "17 other texts" in refusal(ask(*many), 422, "BadSelection")
    assert ask(*many[:16]).status_code == 200
    monkeypatch.setattr(changes, "MOST_PATCHED", 4 * 6 * 32)  # one stream of six positions
    one = {"site": "blocks.0.mlp_out", "action": "patch", "source": {"ids": OTHER}}
    assert ask(one).status_code == 200
    refusal(ask({**one, "site": "blocks.*.mlp_out"}), 422, "BadSelection")
    row = {**one, "site": "blocks.*.mlp_out", "selection": {"pos": [1, 2]}}
    assert ask(row).status_code == 200
    monkeypatch.setattr(changes, "MOST_PLACES", 5)
    refusal(ask(*({"site": "blocks.*.mlp_out", "action": "zero"} for _ in range(2))), 422, "BadSelection")
