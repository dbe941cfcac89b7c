"""Finding and trying over the wire: the server says what the analysis says; a sweep comes row by row, and stops when
nobody reads it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

import cutaway
from cutaway.analysis import PatchingSweep, cosines, detect_heads, detectors, largest_neurons, patching
from cutaway.server import routes_find
from cutaway.server.app import create_app
from cutaway.server.limits import Limits
from cutaway.server.run import bind, server_for
from tests.e2e.test_server import HERE, make, refusal, wait_for
from tests.support.serving import Served, serving
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model

MODEL = "llama-gqa"
CLEAN, CORRUPTED = some_ids(7, seed=1), some_ids(6, seed=2)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app({MODEL: tiny_model(MODEL), "other": tiny_model("gpt2", n_layer=2)}, port=8765)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    with serving(folder) as served:
        yield served


def test_detectors_are_those_of_the_analysis(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.get(f"/api/models/{MODEL}/detectors").json()
    found = detect_heads(tiny_model(MODEL))
    assert [(each["block"], each["head"]) for each in answer["heads"]] == [(i, h) for i in range(3) for h in range(4)]
    for name in detectors.NAMES:
        scores = np.array([each[name] for each in answer["heads"]]).reshape(3, 4)
        np.testing.assert_allclose(scores, getattr(found, name), atol=1e-5)
    assert (answer["seed"], answer["n_sequences"], answer["length"]) == (found.seed, found.n_sequences, found.length)
    assert "random tokens said twice" in answer["note"]
    monkeypatch.setattr(routes_find, "detect_heads", None)  # it is made once a model
    assert client.get(f"/api/models/{MODEL}/detectors").json() == answer
    refusal(client.get("/api/models/nobody/detectors"), 404, "UnknownModel")


def test_the_largest_neurons_are_those_of_the_analysis(client: TestClient) -> None:
    id = make(client, CLEAN)["id"]
    answer = client.get(f"/api/traces/{id}/neurons/largest?token=5&against=9&position=3&k=7").json()
    found = largest_neurons(tiny_model(MODEL).trace(CLEAN), 5, against=9, position=3, k=7)
    assert (answer["position"], answer["token"]["id"], answer["against"]["id"]) == (3, 5, 9)
    assert [(each["block"], each["neuron"]) for each in answer["neurons"]] == [(e.layer, e.neuron) for e in found]
    for each, expected in zip(answer["neurons"], found, strict=True):
        assert each["activation"] == pytest.approx(expected.activation, rel=1e-4)
        assert each["value"] == pytest.approx(expected.value, rel=1e-3, abs=1e-5)
    wrote = client.get(f"/api/traces/{id}/neurons/largest?token=5&position=3&k=7&by=value").json()["neurons"]
    most = largest_neurons(tiny_model(MODEL).trace(CLEAN), 5, position=3, k=7, by="value")
    assert [(each["block"], each["neuron"]) for each in wrote] == [(e.layer, e.neuron) for e in most]
    refusal(client.get(f"/api/traces/{id}/neurons/largest?token=5&by=name"), 422, "BadRequest")
    last = client.get(f"/api/traces/{id}/neurons/largest?token=5").json()
    assert last["position"] == 6 and last["against"] is None and len(last["neurons"]) == 20
    refusal(client.get(f"/api/traces/{id}/neurons/largest"), 422, "BadRequest")
    refusal(client.get(f"/api/traces/{id}/neurons/largest?token=97"), 422, "BadInput")
    refusal(client.get("/api/traces/gone/neurons/largest?token=1"), 410, "TraceGone")


def test_the_vocabulary_is_searched(served: Served) -> None:
    with httpx.Client(base_url=served.url) as client:
        name = client.get("/api/models").json()["default"]
        by_id = client.get(f"/api/models/{name}/vocabulary", params={"query": "#3"}).json()
        assert [each["id"] for each in by_id["tokens"]] == [3] and by_id["total"] == 1
        text = by_id["tokens"][0]["text"]
        by_text = client.get(f"/api/models/{name}/vocabulary", params={"query": text, "k": 200}).json()
        assert 3 in [each["id"] for each in by_text["tokens"]]
        assert by_text["total"] == len(by_text["tokens"])
        one = client.get(f"/api/models/{name}/vocabulary", params={"query": text, "k": 1}).json()
        assert one["tokens"] == by_text["tokens"][:1] and one["total"] == by_text["total"]
        by_bytes = client.get(f"/api/models/{name}/vocabulary", params={"query": by_id["tokens"][0]["bytes"]}).json()
        assert by_bytes["total"] >= 1
        assert client.get(f"/api/models/{name}/vocabulary", params={"query": " "}).json() == {
            "tokens": [],
            "total": 0,
        }


def test_cosines_are_those_of_the_analysis(client: TestClient) -> None:
    one, other = make(client, CLEAN)["id"], make(client, CORRUPTED)["id"]
    model = tiny_model(MODEL)
    answer = client.get(f"/api/traces/{one}/compare?other={other}&pairs=3:5,-1:-1").json()
    found = cosines(model.trace(CLEAN), model.trace(CORRUPTED), [(3, 5), (6, 5)])
    assert answer["depths"] == list(found.depths)
    assert [(each["a"], each["b"]) for each in answer["pairs"]] == [(3, 5), (6, 5)]
    np.testing.assert_allclose([each["cosine"] for each in answer["pairs"]], found.cosine, atol=1e-5)
    every = client.get(f"/api/traces/{one}/compare?other={other}").json()
    assert [(each["a"], each["b"]) for each in every["pairs"]] == [(i, i) for i in range(6)]
    refusal(client.get(f"/api/traces/{one}/compare?other=gone"), 410, "TraceGone")
    refusal(client.get(f"/api/traces/{one}/compare?other={other}&pairs=7:0"), 422, "BadSelection")
    refusal(client.get(f"/api/traces/{one}/compare?other={other}&pairs=1"), 422, "BadRequest")
    elsewhere = make(client, CLEAN, model="other")["id"]
    refusal(client.get(f"/api/traces/{one}/compare?other={elsewhere}"), 422, "BadInput")


# -- sweeps ------------------------------------------------------------------------------------------------------


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for each in text.strip().split("\n\n"):
        name, data = each.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def ask(client: Any, **more: Any) -> Any:
    asked = {
        "model": MODEL,
        "clean": {"ids": CLEAN},
        "corrupted": {"ids": CORRUPTED},
        "site": "resid_pre",
        "token": 5,
    }
    return client.post("/api/sweeps", json={**asked, **more})


@pytest.mark.parametrize("site", patching.SITES)
def test_a_sweep_is_that_of_the_analysis(client: TestClient, site: str) -> None:
    answer = ask(client, site=site, against=9, pairs=[[1, 3], [5, -1]])
    assert answer.headers["content-type"].startswith("text/event-stream")
    (first, start), *rows, (last, end) = events(answer.text)
    assert (first, last, end) == ("start", "end", {"n_layer": 3})
    expected = PatchingSweep(tiny_model(MODEL), CLEAN, CORRUPTED, 5, against=9, site=site, pairs=[(1, 3), (5, 6)])
    assert (start["n_layer"], start["n_pos"], start["pairs"]) == (3, 6, [[1, 3], [5, 6]])
    assert start["clean"] == pytest.approx(expected.clean, abs=1e-4)
    assert start["corrupted"] == pytest.approx(expected.corrupted, abs=1e-4)
    assert [each["id"] for each in start["tokens"]] == CORRUPTED
    assert [name for name, _ in rows] == ["row"] * 3 and [row["layer"] for _, row in rows] == [0, 1, 2]
    assert rows[0][1]["values"][0] is None
    values = np.array([[np.nan if v is None else v for v in row["values"]] for _, row in rows])
    np.testing.assert_allclose(values, expected.values(), atol=1e-4)


def test_a_sweep_that_makes_no_sense_is_refused_before_it_begins(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal(ask(client, site="attn.z"), 422, "BadSelection")
    refusal(ask(client, token=97), 422, "BadInput")
    refusal(ask(client, clean={}), 422, "BadRequest")
    refusal(ask(client, clean={"text": "a"}), 422, "BadInput")
    refusal(ask(client, model="nobody"), 404, "UnknownModel")
    refusal(ask(client, pairs=[[0, 9]]), 422, "BadSelection")
    refusal(ask(client, pairs=[[0]]), 422, "BadSelection")
    refusal(ask(client, nonsense=1), 422, "BadRequest")
    monkeypatch.setattr(routes_find, "MOST_SWEPT", 35)
    assert "fewer pairs" in refusal(ask(client), 422, "BadInput")
    assert ask(client, pairs=[[0, 0]]).status_code == 200


def test_what_goes_wrong_later_is_an_event(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(sweep: PatchingSweep) -> Iterator[patching.SweepRow | None]:
        yield None
        yield patching.SweepRow(0, np.zeros(6, np.float32))
        raise cutaway.CutawayError("it broke.")

    monkeypatch.setattr(PatchingSweep, "steps", rows)
    found = events(ask(client).text)
    assert [name for name, _ in found] == ["start", "row", "error"]
    assert found[-1][1] == {"error": {"kind": "CutawayError", "message": "it broke."}}


def test_letting_go_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    plain = PatchingSweep._run

    def slowly(sweep: PatchingSweep, layer: int, here: Any, put: Any) -> np.ndarray:
        begun.append(layer)
        if layer:
            for _ in range(200):  # a layer that takes its time, and asks in between whether it is still wanted
                time.sleep(0.02)
                sweep._check()
        return plain(sweep, layer, here, put)

    monkeypatch.setattr(PatchingSweep, "_run", slowly)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        app = create_app({MODEL: tiny_model(MODEL)}, limits=Limits(workers=1), port=port)
        server = server_for(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        asked = {
            "model": MODEL,
            "clean": {"ids": CLEAN},
            "corrupted": {"ids": CORRUPTED},
            "site": "mlp_out",
            "token": 5,
        }
        with httpx.stream("POST", f"http://127.0.0.1:{port}/api/sweeps", json=asked) as answer:
            lines = answer.iter_lines()  # held: when it is let go, so is the connection
            assert "event: row" in lines
            wait_for(lambda: begun == [0, 1])
        # the layer that ran stopped where it stood, and the next never began
        wait_for(lambda: not app.state.cutaway.desk._jobs, 2)
        assert begun == [0, 1]
        start = time.perf_counter()  # and the one worker is free again
        assert httpx.get(f"http://127.0.0.1:{port}/api/models").status_code == 200
        assert time.perf_counter() - start < 2
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
