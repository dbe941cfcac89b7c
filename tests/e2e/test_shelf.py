"""Models as things that one has: brought while the page watches, opened by path, weighed, and traces taken away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors
from starlette.testclient import TestClient

import cutaway
from cutaway.server import routes_shelf
from cutaway.server.app import create_app
from cutaway.server.bringing import Bringing
from cutaway.server.limits import Limits
from cutaway.server.models import Models
from cutaway.server.run import bind, server_for
from cutaway.weights import catalog
from tests.e2e.test_hub import WEIGHTS, Place, place  # noqa: F401  (a fixture)
from tests.e2e.test_server import HERE, MODEL, app_client, make, refusal, wait_for
from tests.e2e.test_writing import events
from tests.support.folders import write_tiny
from tests.support.tiny import some_ids, tiny_model


@pytest.fixture
def client() -> Iterator[TestClient]:
    with app_client() as client:
        yield client


# -- bringing ------------------------------------------------------------------------------------------------------


def test_a_model_is_brought_while_the_page_watches(client: TestClient, place: Place) -> None:  # noqa: F811
    assert "tiny/model" not in [each["name"] for each in client.get("/api/models").json()["models"]]
    assert client.get("/api/models").json()["local"] is True
    answer = client.post("/api/models/pull", json={"name": "tiny/model"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert {name for name, _ in told[:-1]} == {"progress"} and told[-1] == ("end", {"name": "tiny/model"})
    for _, each in told[:-1]:
        assert set(each) == {"what", "bytes", "total"} and 0 <= each["bytes"] <= (each["total"] or 0)
    assert "tiny/model" in [each["name"] for each in client.get("/api/models").json()["models"] if each["here"]]
    asked = len(place.hub.requests)
    assert events(client.post("/api/models/pull", json={"name": "tiny/model"}).text)[-1][0] == "end"
    assert len(place.hub.requests) == asked  # it is here


def test_what_is_wrong_is_told(client: TestClient, place: Place, tmp_path: Path) -> None:  # noqa: F811
    for name in ("", "nonsense", "a\0b", "/etc/passwd.gguf", "../no-such-model"):
        answer = client.post("/api/models/pull", json={"name": name})
        assert answer.status_code == 404 and answer.json()["error"]["kind"] == "UnknownModel"
    refusal(client.post("/api/models/pull", json={"name": str(tmp_path)}), 422, "BadInput")
    name, data = events(client.post("/api/models/pull", json={"name": "tiny/nobody"}).text)[-1]
    assert name == "error" and data["error"]["kind"] == "UnknownModel"
    place.hub.repos["tiny/model"].corrupt.add("model.safetensors")
    name, data = events(client.post("/api/models/pull", json={"name": "tiny/model"}).text)[-1]
    assert name == "error" and data["error"]["kind"] == "DownloadFailed"


def test_a_reader_who_goes_stops_the_download_and_it_goes_on_later(
    place: Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Bringing] = []

    class Seen(Bringing):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            begun.append(self)

    monkeypatch.setattr(routes_shelf, "Bringing", Seen)
    place.hub.hold["model.safetensors"] = threading.Event()
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        server = server_for(create_app({MODEL: tiny_model(MODEL)}, port=port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        site = f"http://127.0.0.1:{port}/api/models/pull"
        with httpx.stream("POST", site, json={"name": "tiny/model"}) as answer:
            halfway = False
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    told = json.loads(line[6:])
                    halfway = "model.safetensors" in told["what"] and 0 < told["bytes"] < told["total"]
                if halfway:
                    break
            assert halfway and told["total"] == len(WEIGHTS)
        wait_for(lambda: begun[0]._progress.stopped)
        place.hub.hold.pop("model.safetensors").set()
        wait_for(lambda: not begun[0]._thread.is_alive())
        assert place.find("tiny/model") is None
        told_events = events(httpx.post(site, json={"name": "tiny/model"}, timeout=30).text)
        assert told_events[-1] == ("end", {"name": "tiny/model"})
        assert place.hub.gets("model.safetensors")[-1].range  # from where it was
        server.should_exit = True
        thread.join(10)


# -- opening -------------------------------------------------------------------------------------------------------


def test_a_path_is_opened_and_named(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "mine", "qwen3")
    write_tiny(tmp_path / "other" / "mine", "gpt2")
    answer = client.post("/api/models/open", json={"path": str(tmp_path / "mine")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "mine" and answer.json()["config"]["architecture"] == "qwen3"
    monkeypatch.chdir(tmp_path)
    again = client.post("/api/models/open", json={"path": "mine"}).json()
    assert again["name"] == "mine"  # one place, one name
    other = client.post("/api/models/open", json={"path": "other/mine"}).json()
    assert other["name"] == "mine (2)" and other["config"]["architecture"] == "gpt2"
    for name, folder in (("mine", "mine"), ("mine (2)", "other/mine")):
        id = make(client, some_ids(5), name)["id"]
        row = client.get(f"/api/traces/{id}/next?k=1").json()["candidates"][0]
        assert row["logit"] == pytest.approx(
            cutaway.load(tmp_path / folder).trace(some_ids(5)).logits().max(), rel=1e-4
        )
    listed = {each["name"]: each for each in client.get("/api/models").json()["models"]}
    size = (tmp_path / "mine" / "model.safetensors").stat().st_size
    assert listed["mine"]["here"] and listed["mine"]["bytes"] == size
    assert listed["mine (2)"]["note"] == str(tmp_path / "other" / "mine")


def test_what_was_opened_comes_back_after_it_was_closed(tmp_path: Path) -> None:
    with app_client(Limits(models=1)) as client:
        for name in ("a", "b", "c"):
            write_tiny(tmp_path / name, "llama")
            assert client.post("/api/models/open", json={"path": str(tmp_path / name)}).status_code == 200
        assert client.get("/api/health").json()["models_loaded"] == ["c", MODEL]
        make(client, [1, 2], "a")
        assert client.get("/api/health").json()["models_loaded"] == ["a", MODEL]


@pytest.mark.parametrize(
    "path", ["", "gpt2", "owner/name", "/nowhere/at/all", "a\0b", "~nobody-at-all/x", "/dev/null"]
)
def test_what_is_no_model_is_refused(client: TestClient, path: str) -> None:
    answer = client.post("/api/models/open", json={"path": path})
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["error"]["kind"] in ("UnknownModel", "BadCheckpoint", "BadConfig")


def test_others_bring_and_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "mine", "llama")

    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError("others made this server download")

    monkeypatch.setattr(catalog, "pull", never)
    with app_client(token="secret") as client:
        client.get("/?token=secret")
        assert client.get("/api/models").json()["local"] is False
        opened = client.post("/api/models/open", json={"path": str(tmp_path / "mine")})
        assert "whoever runs it" in refusal(opened, 403, "Refused")
        refusal(client.post("/api/models/pull", json={"name": "gpt2"}), 403, "Refused")
        refusal(client.post("/api/traces", json={"model": str(tmp_path / "mine"), "ids": [1]}), 404, "UnknownModel")


def test_a_model_that_is_opened_again_lets_the_first_go(tmp_path: Path) -> None:
    write_tiny(tmp_path / "mine", "llama")
    closed: list[cutaway.Model] = []
    models = Models({}, "mine", 2, closed.append)
    assert models.open(str(tmp_path / "mine")) == models.open(str(tmp_path / "mine")) == "mine"
    assert len(closed) == 1 and closed[0] is not models.get("mine")


# -- what it costs -------------------------------------------------------------------------------------------------


def test_costs_are_the_published_ones(client: TestClient) -> None:
    told = client.get(f"/api/models/{MODEL}/costs?n=1,1024").json()
    beside = {each["name"]: each for each in told["beside"]}
    assert {name: each["total"] for name, each in beside.items()} == {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
        "gpt3": 175_181_291_520,
    }
    gpt3 = beside["gpt3"]
    assert gpt3["parts"]["embedding"] == gpt3["parts"]["unembedding"] == 617_558_016
    assert gpt3["parts"]["attention"] == 57_982_058_496 and gpt3["parts"]["MLP"] == 2 * 57_982_058_496
    small = beside["gpt2"]
    one, full = small["lengths"]
    assert full["flops"] == 291_648_307_200 == sum(full["flops_by_part"].values())
    # two for each product of every matrix (the unembedding is the embedding, transposed), and attention's own two
    matrices = 12 * (4 * 768 * 768 + 2 * 768 * 3072) + 768 * 50257
    assert one["flops_per_token"] == 2 * matrices + 4 * 12 * 768
    assert full["flops_per_token"] == 2 * matrices + 4 * 12 * 768 * 1024
    # keys and values of every block in float32
    assert small["kv_bytes_per_token"] == 2 * 12 * 768 * 4
    assert full["kv_cache_bytes"] == {"F32": 1024 * 2 * 12 * 768 * 4, "F16": 1024 * 2 * 12 * 768 * 2}
    assert full["pattern_numbers"] == 1024 * 1024 and full["scores_bytes"] == 12 * 12 * 1024 * 1024 * 4
    assert full["bytes_read_per_token"]["F32"] - one["bytes_read_per_token"]["F32"] == 1023 * 2 * 12 * 768 * 4
    assert small["bytes"]["F32"] == 4 * 124_439_808 and small["bytes"]["F16"] == 2 * 124_439_808
    assert full["fits"] and not told["model"]["lengths"][1]["fits"]  # the tiny one has a context of 64
    assert "matrix products" in told["note"] and "film" in gpt3["note"]


def test_costs_of_a_grouped_model_and_of_its_file(default_model: cutaway.Model) -> None:
    with TestClient(create_app({"m": default_model}, port=8765), base_url=HERE) as client:
        told = client.get("/api/models/m/costs").json()["model"]
        assert told["total"] == 134_515_008 and told["n_kv_head"] == 3
        assert [each["n_tokens"] for each in told["lengths"]] == [1, 128, 1024, 8192]
        assert told["kv_bytes_per_token"] == 2 * 30 * 3 * 64 * 4
        assert 96_000_000 < told["file_bytes"] < 98_362_432  # the file holds a vocabulary, too
    with app_client() as client:
        assert client.get(f"/api/models/{MODEL}/costs").json()["model"]["file_bytes"] is None
        for n in ("0", "1,", "a", "-1", "10000000", ",".join(["1"] * 33)):
            refusal(client.get(f"/api/models/{MODEL}/costs?n={n}"), 422, "BadRequest")
        refusal(client.get("/api/models/gone/costs"), 404, "UnknownModel")


# -- taking away ---------------------------------------------------------------------------------------------------


def test_a_trace_is_kept_as_the_engine_saves_it(client: TestClient, tmp_path: Path) -> None:
    off = [{"site": "blocks.1.attn.z", "action": "zero", "selection": {"head": 2}}]
    id = make(client, some_ids(9), interventions=off)["id"]
    answer = client.get(f"/api/traces/{id}/save")
    assert answer.status_code == 200 and len(answer.content) == int(answer.headers["content-length"])
    name = answer.headers["content-disposition"]
    assert name == 'attachment; filename="tiny-llama-gqa-9-tokens.safetensors"'
    changed = tiny_model(MODEL).intervene({"blocks.1.attn.z": cutaway.zero(head=2)})
    trace = changed.trace(some_ids(9))
    trace.save(tmp_path / "saved.safetensors")
    ours, theirs = load_safetensors(answer.content), load_safetensors((tmp_path / "saved.safetensors").read_bytes())
    assert set(ours) == set(theirs)
    for each in ours:
        np.testing.assert_allclose(ours[each], theirs[each], rtol=1e-5, atol=1e-6)
    (tmp_path / "got.safetensors").write_bytes(answer.content)
    loaded = cutaway.load_trace(tmp_path / "got.safetensors", tiny_model(MODEL))
    np.testing.assert_allclose(loaded["blocks.2.attn.pattern"], trace["blocks.2.attn.pattern"], rtol=1e-4, atol=1e-5)
    refusal(client.get("/api/traces/" + "0" * 32 + "/save"), 410, "TraceGone")


def test_a_file_name_is_harmless(tmp_path: Path) -> None:
    model = tiny_model(MODEL)
    model.name = '../ü"; x\r\n.exe'
    app = create_app({"m": model}, port=8765)
    with TestClient(app, base_url=HERE) as client:
        id = make(client, [1, 2], "m")["id"]
        name = client.get(f"/api/traces/{id}/save").headers["content-disposition"]
        assert name == 'attachment; filename="x-.exe-2-tokens.safetensors"'
