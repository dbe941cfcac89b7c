"""The server as a browser meets it: who may ask, what it refuses, what becomes of work that nobody waits for; and the
process itself, from `cutaway serve` to Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

import cutaway
from cutaway.server import security, traces
from cutaway.server.app import create_app
from cutaway.server.limits import Limits
from cutaway.server.run import bind, hosts_for, is_loopback, server_for
from cutaway.server.security import names_of
from cutaway.server.traces import Gauge
from cutaway.wire.frames import read_frame
from tests.support.serving import Served, serving
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model

HERE = "http://127.0.0.1:8765"
MODEL = "llama-gqa"


def app_client(limits: Limits | None = None, **settings: Any) -> TestClient:
    app = create_app({MODEL: tiny_model(MODEL)}, limits=limits, port=8765, **settings)
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with app_client() as client:
        yield client


@pytest.fixture(scope="module")
def speller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    return folder


@pytest.fixture(scope="module")
def served(speller: Path) -> Iterator[Served]:
    with serving(speller) as served:
        yield served


def make(client: TestClient | httpx.Client, ids: list[int], model: str = MODEL, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/traces", json={"model": model, "ids": ids, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refusal(answer: httpx.Response, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["kind"] == kind
    message = str(answer.json()["error"]["message"])
    assert message.endswith((".", "?")) and "Traceback" not in message
    return message


# -- what the API says is what the engine says ---------------------------------------------------------------------


def test_values_are_the_engines(client: TestClient) -> None:
    model, ids = tiny_model(MODEL), some_ids(9)
    trace = model.trace(ids)
    id = make(client, ids)["id"]
    tensors, _ = read_frame(client.get(f"/api/traces/{id}/sites?names=*").content)
    assert set(tensors) == set(trace.sites)
    for name, array in tensors.items():
        np.testing.assert_allclose(array, trace[name], rtol=1e-5, atol=1e-5)
    following = client.get(f"/api/traces/{id}/next?position=3&k=3").json()
    assert [each["token"]["id"] for each in following["candidates"]][:3] == [
        each.token.id for each in trace.next_tokens(3, position=3)
    ]
    tensors, _ = read_frame(client.get(f"/api/traces/{id}/overview?bins=4").content)
    for i in range(model.config.n_layer):
        ratio = np.linalg.norm(trace[f"blocks.{i}.attn_out"], axis=-1) / np.linalg.norm(
            trace[f"blocks.{i}.resid_pre"], axis=-1
        )
        np.testing.assert_allclose(tensors["attn_ratio"][i], ratio, rtol=1e-4)
        ratio = np.linalg.norm(trace[f"blocks.{i}.mlp_out"], axis=-1) / np.linalg.norm(
            trace[f"blocks.{i}.resid_mid"], axis=-1
        )
        np.testing.assert_allclose(tensors["mlp_ratio"][i], ratio, rtol=1e-4)


def test_changes_act_and_are_part_of_the_id(client: TestClient) -> None:
    ids = some_ids(8)
    plain = make(client, ids)
    off = [{"site": "blocks.1.attn.z", "action": "zero", "selection": {"head": 2, "pos": {"start": 2}}}]
    changed = make(client, ids, interventions=off)
    assert changed["id"] != plain["id"]
    model = tiny_model(MODEL).intervene({"blocks.1.attn.z": cutaway.zero(head=2, pos=slice(2, None))})
    tensors, _ = read_frame(client.get(f"/api/traces/{changed['id']}/sites?names=blocks.2.attn.pattern").content)
    np.testing.assert_allclose(
        tensors["blocks.2.attn.pattern"], model.trace(ids)["blocks.2.attn.pattern"], rtol=1e-4, atol=1e-6
    )
    explained = client.get(f"/api/traces/{changed['id']}/explain?site=blocks.1.attn.z&index=3,2,0").json()
    assert explained["value"] == 0 and explained["changed_by"][0]["action"] == "zero"
    assert explained["result"] != 0


def test_neighbours_are_those_of_the_whole_table(client: TestClient) -> None:
    table = tiny_model(MODEL).parameters["W_E"]
    aim = table[3] + table[7] - table[9]
    cosine = table @ aim / np.linalg.norm(table, axis=1) / np.linalg.norm(aim)
    expected = [int(i) for i in np.argsort(-cosine) if i not in (3, 7, 9)][:5]
    found = client.get(f"/api/models/{MODEL}/neighbours?plus=3,7&minus=9&k=5").json()["neighbours"]
    assert [each["token"]["id"] for each in found] == expected
    assert found[0]["cosine"] == pytest.approx(float(cosine[expected[0]]), rel=1e-5)
    own = client.get(f"/api/models/{MODEL}/neighbours?plus=3&k=1&exclude=false").json()["neighbours"]
    assert own[0]["token"]["id"] == 3 and own[0]["cosine"] == pytest.approx(1)
    refusal(client.get(f"/api/models/{MODEL}/neighbours?plus=3&minus=3"), 422, "BadInput")
    refusal(client.get(f"/api/models/{MODEL}/neighbours"), 422, "BadInput")


def test_heads_and_neurons_are_those_of_the_analysis(client: TestClient) -> None:
    id = make(client, some_ids(8))["id"]
    heads = client.get(f"/api/traces/{id}/heads?position=5&k=4").json()
    pattern = read_frame(client.get(f"/api/traces/{id}/sites?names=blocks.*.attn.pattern").content)[0]
    best = heads["heads"][0]
    assert best["weight"] == pytest.approx(
        float(pattern[f"blocks.{best['block']}.attn.pattern"][best["head"], 5, best["key"]])
    )
    assert best["weight"] == pytest.approx(max(float(each[:, 5, 1:].max()) for each in pattern.values()))
    neurons = client.get(f"/api/traces/{id}/neurons?block=1&token=3&k=200").json()
    total = sum(each["value"] for each in neurons["neurons"]) + neurons["others"] + (neurons["bias"] or 0)
    assert total == pytest.approx(neurons["total"], rel=1e-4)


# -- who may ask ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:8765"])
def test_its_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1", "127.0.0.1:80", "localhost:8765.evil.example", "127.0.0.1.evil.example", ""],
)
def test_a_rebound_name_is_not(client: TestClient, host: str) -> None:
    refusal(client.get("/api/health", headers={"host": host}), 403, "Refused")
    refusal(client.get("/", headers={"host": host}), 403, "Refused")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8766", "http://localhost", "file://"]
)
def test_another_site_is_refused(client: TestClient, origin: str) -> None:
    refusal(client.post("/api/traces", headers={"origin": origin}, json={"model": MODEL, "ids": [1]}), 403, "Refused")


def test_the_page_itself_is_not(client: TestClient) -> None:
    own = {"origin": "http://localhost:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/api/traces", headers=own, json={"model": MODEL, "ids": [1]}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_an_image_elsewhere_cannot_ask_and_a_link_may_open_the_page(client: TestClient, site: str) -> None:
    refusal(client.get("/api/models", headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}), 403, "Refused")
    refusal(client.get("/api/models", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}), 403, "Refused")
    opened = client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"})
    assert opened.status_code != 403


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    id = make(client, [1, 2])["id"]
    for path in ("/", "/api/health", "/api/nothing", "/api/traces/x", f"/api/traces/{id}/overview", "/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy and "form-action 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control") for name in headers)
    refused = client.get("/api/health", headers={"host": "evil.example"})
    assert refused.headers["content-security-policy"] == security.POLICY


def test_names_that_were_allowed() -> None:
    assert names_of(("a", "B"), 81) == {"a:81", "b:81"} and names_of(("a",), 80) == {"a:80", "a"}
    assert "pi.local" in hosts_for("0.0.0.0", ("pi.local",)) and "0.0.0.0" not in hosts_for("0.0.0.0")
    assert "[fe80::1]" in hosts_for("fe80::1") and "10.0.0.7" in hosts_for("10.0.0.7")
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("10.0.0.7") and not is_loopback("example.org")
    with app_client(hosts=("pi.local",)) as client:
        assert client.get("/api/health", headers={"host": "pi.local:8765"}).status_code == 200


# -- the page's files ----------------------------------------------------------------------------------------------


def test_an_unbuilt_page_says_what_to_run(tmp_path: Path) -> None:
    with app_client(folder=tmp_path) as client:
        answer = client.get("/")
        assert answer.status_code == 503 and "make page" in answer.text and "<script" not in answer.text


def test_files_are_served_with_their_types_and_nothing_else_is(tmp_path: Path) -> None:
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>built")
    (built / "assets" / "app-1a2b.js").write_text("let x = 1")
    (built / "assets" / "odd.exe").write_text("no")
    (tmp_path / "secret.txt").write_text("hidden words")
    (built / "link.txt").symlink_to(tmp_path / "secret.txt")
    with app_client(folder=built) as client:
        page = client.get("/?text=hello&block=3")
        assert page.text == "<!doctype html>built" and page.headers["cache-control"] == "no-cache"
        script = client.get("/assets/app-1a2b.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in script.headers["cache-control"]
        outside = ["/../secret.txt", "/assets/..%2f..%2fsecret.txt", "/%2e%2e/secret.txt", "/..%5csecret.txt"]
        nothing = [
            "/assets/odd.exe",
            "/link.txt",
            "/assets",
            "/nope.js",
            "//etc/passwd",
            "/a%00b.txt",
            "/" + "a" * 5000,
        ]
        for path in [*outside, *nothing]:
            answer = client.get(path)
            assert answer.status_code == 404 and "hidden" not in answer.text
        assert client.post("/").status_code == 405


# -- what is refused -----------------------------------------------------------------------------------------------


def test_wrong_bodies_get_a_sentence(client: TestClient) -> None:
    post = client.post
    refusal(post("/api/traces", content=b"{", headers={"content-type": "application/json"}), 422, "BadRequest")
    refusal(post("/api/traces", content=b"{}"), 422, "BadRequest")  # no content type, as from a form
    deep = b'{"model": "x", "interventions": ' + b"[" * 100_000
    refusal(post("/api/traces", content=deep, headers={"content-type": "application/json"}), 422, "BadRequest")
    for body in ({"model": MODEL}, {"model": MODEL, "text": "a", "ids": [1]}, {"model": MODEL, "ids": ["1"]}):
        refusal(post("/api/traces", json=body), 422, "BadRequest")
    message = refusal(post("/api/traces", json={"model": MODEL, "ids": [1], "idz": 3}), 422, "BadRequest")
    assert message.startswith("idz")
    refusal(post("/api/traces", json={"model": MODEL, "ids": []}), 422, "BadInput")
    refusal(post("/api/traces", json={"model": MODEL, "ids": [97]}), 422, "BadInput")
    refusal(post("/api/traces", json={"model": MODEL, "text": "no tokenizer"}), 422, "BadInput")
    refusal(post("/api/traces", json={"model": "llama-gqb", "ids": [1]}), 404, "UnknownModel")


@pytest.mark.parametrize(
    "change",
    [
        {"site": "blocks.9.attn.z", "action": "zero"},
        {"site": "blocks.0.attn.z", "action": "vanish"},
        {"site": "blocks.0.attn.z", "action": "add"},
        {"site": "blocks.0.attn.z", "action": "zero", "selection": {"head": 9}},
        {"site": "blocks.0.attn.z", "action": "zero", "selection": {"pos": {"step": 0}}},
        {"site": "blocks.0.attn.z", "action": "set", "value": [[1], [2, 3]]},
        {"site": "blocks.0.attn.z", "action": "set", "value": "one"},
        {"site": "blocks.0.attn.z", "action": "set", "value": [1.0] * 7},
    ],
)
def test_wrong_changes_get_a_sentence(client: TestClient, change: dict[str, Any]) -> None:
    answer = client.post("/api/traces", json={"model": MODEL, "ids": [1, 2], "interventions": [change]})
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["error"]["kind"] in ("UnknownSite", "BadSelection")


def test_changes_that_overflow_are_told_as_such(client: TestClient) -> None:
    change = {"site": "blocks.1.resid_post", "action": "scale", "value": 3e38}
    id = make(client, [1, 2, 3], interventions=[change])["id"]
    assert "changes" in refusal(client.get(f"/api/traces/{id}/next"), 422, "BadInput")


def test_paths_of_this_machine_cannot_be_opened(client: TestClient, speller: Path) -> None:
    for name in (str(speller), f"file://{speller}", "/etc/passwd", "../" + speller.name, "~", "."):
        answer = client.post("/api/traces", json={"model": name, "ids": [1]})
        assert "there is no file" not in refusal(answer, 404, "UnknownModel")


def test_a_misspelt_parameter_is_not_ignored(client: TestClient) -> None:
    id = make(client, [1, 2])["id"]
    assert '"hed"' in refusal(client.get(f"/api/traces/{id}/sites?names=embed&hed=2"), 422, "BadRequest")
    refusal(client.get(f"/api/traces/{id}/sites?names=embed&bins=4"), 422, "BadSelection")
    refusal(client.get(f"/api/traces/{id}/sites?names=,"), 422, "BadSelection")
    refusal(client.get(f"/api/traces/{id}/sites?names=embed&pos=9"), 422, "BadSelection")
    refusal(client.get(f"/api/traces/{id}/next?position=2"), 422, "BadSelection")
    refusal(client.get("/api/traces"), 405, "MethodNotAllowed")


def test_bodies_and_texts_have_a_longest(speller: Path) -> None:
    model = cutaway.load(speller)
    app = create_app({"m": model}, port=8765, limits=Limits(max_tokens=5, body_bytes=3000, text_length=50))
    with TestClient(app, base_url=HERE) as client:
        assert client.post("/api/traces", json={"model": "m", "text": "12345"}).status_code == 200
        said = refusal(client.post("/api/traces", json={"model": "m", "text": "123456"}), 422, "BadInput")
        assert "--max-tokens" in said
        refusal(client.post("/api/traces", json={"model": "m", "text": "x" * 51}), 422, "BadInput")
        refusal(client.post("/api/tokenize", json={"model": "m", "text": "x" * 51}), 422, "BadInput")
        refusal(client.post("/api/traces", json={"model": "m", "text": "x" * 3000}), 413, "TooLarge")

        def chunks() -> Iterator[bytes]:  # a body that does not say how long it is
            yield b'{"model": "'
            for _ in range(9):
                yield b"x" * 1000

        headers = {"content-type": "application/json"}
        refusal(client.post("/api/traces", content=chunks(), headers=headers), 413, "TooLarge")


# -- what is held --------------------------------------------------------------------------------------------------


def test_two_long_runs_are_held_beside_each_other() -> None:
    """The changed one and the unchanged: however long they are, neither pushes out the other."""
    with app_client(Limits(cache_bytes=1)) as client:
        one, two = (make(client, some_ids(10, seed))["id"] for seed in (1, 2))
        for id in (one, two, one, two):
            assert client.get(f"/api/traces/{id}/overview").status_code == 200
        make(client, some_ids(10, 3))
        refusal(client.get(f"/api/traces/{one}"), 410, "TraceGone")


def test_the_least_recently_used_goes_and_comes_back_under_its_id() -> None:
    size = tiny_model(MODEL).trace(some_ids(10)).nbytes
    with app_client(Limits(cache_bytes=4 * size)) as client:
        held = client.app.state.cutaway.traces  # type: ignore[attr-defined]
        first = make(client, some_ids(10, 1))["id"]
        make(client, some_ids(10, 2))
        assert client.get(f"/api/traces/{first}").status_code == 200  # used again, so the second is older
        for seed in range(3, 9):
            make(client, some_ids(10, seed))
            client.get(f"/api/traces/{first}")
            assert held.nbytes <= 4 * size or len(held) == 2
        assert client.get(f"/api/traces/{first}").status_code == 200
        for seed in range(9, 14):
            make(client, some_ids(10, seed))
        refusal(client.get(f"/api/traces/{first}"), 410, "TraceGone")
        refusal(client.get(f"/api/traces/{first}/overview"), 410, "TraceGone")
        assert make(client, some_ids(10, 1))["id"] == first
        refusal(client.get("/api/traces/" + "0" * 32), 410, "TraceGone")


def test_a_trace_is_weighed_again_after_it_was_read() -> None:
    with app_client() as client:
        held = client.app.state.cutaway.traces  # type: ignore[attr-defined]
        id = make(client, some_ids(12))["id"]
        before = held.nbytes
        client.get(f"/api/traces/{id}/sites?names=blocks.*.mlp.post")
        assert held.nbytes >= before + 3 * 12 * 48 * 4
        assert held.nbytes == held.get(id).nbytes


def test_ids_say_nothing_and_differ_from_server_to_server() -> None:
    with app_client() as one, app_client() as other:
        assert make(one, [1, 2])["id"] == make(one, [1, 2])["id"] != make(other, [1, 2])["id"]
        assert make(one, [1, 2])["id"] != make(one, [2, 1])["id"]


# -- what nobody waits for any more --------------------------------------------------------------------------------


class Slow:
    """Holds every pass at the door of its second block, until let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_the_door = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.entered: list[str] = []
        within = Gauge.within

        def slow(gauge: Gauge, prefix: str) -> Any:
            if prefix == "blocks.1.":
                self.at_the_door.release()
                assert self.go_on.wait(10)
            here = within(gauge, prefix)
            self.entered.append(prefix)
            return here

        monkeypatch.setattr(traces.Gauge, "within", slow)


def test_the_newest_keystroke_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    with app_client(Limits(workers=1)) as client, ThreadPoolExecutor(8) as pool:
        slow = Slow(monkeypatch)

        def typed(seq: int, who: str = "a") -> httpx.Response:
            body = {"model": MODEL, "ids": some_ids(4, seq), "client": who, "seq": seq}
            return client.post("/api/traces", json=body)

        running = pool.submit(typed, 1)
        assert slow.at_the_door.acquire(timeout=10)
        queued = pool.submit(typed, 2)
        desk = client.app.state.cutaway.desk  # type: ignore[attr-defined]
        wait_for(lambda: len(desk._jobs) == 2)
        newest = pool.submit(typed, 3)
        # both older ones are answered while the first still stands at the door
        refusal(running.result(10), 409, "Superseded")
        refusal(queued.result(10), 409, "Superseded")
        assert not slow.go_on.is_set()
        refusal(typed(2), 409, "Superseded")  # comes late
        other = pool.submit(typed, 1, "b")  # another tab's keystrokes are its own
        slow.go_on.set()
        assert newest.result(10).status_code == 200 and other.result(10).status_code == 200
        assert typed(3).status_code == 200  # the same one again is no older
        # the first stopped where it stood; the queued one never began
        assert slow.entered.count("blocks.0.") == 3 and slow.entered.count("blocks.2.") == 2
        wait_for(lambda: not desk._jobs and not desk._by_client)


def test_a_full_line_says_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with app_client(Limits(workers=1, waiting=1)) as client, ThreadPoolExecutor(8) as pool:
        slow = Slow(monkeypatch)
        first = pool.submit(make, client, some_ids(4, 1))
        assert slow.at_the_door.acquire(timeout=10)
        second = pool.submit(make, client, some_ids(4, 2))
        desk = client.app.state.cutaway.desk  # type: ignore[attr-defined]
        wait_for(lambda: len(desk._jobs) == 2)
        third = client.post("/api/traces", json={"model": MODEL, "ids": some_ids(4, 3)})
        refusal(third, 503, "Busy")
        assert third.headers["retry-after"] == "1"
        assert client.get("/api/health").status_code == 200
        slow.go_on.set()
        assert first.result(10)["id"] != second.result(10)["id"]
        make(client, some_ids(4, 3))


def test_too_many_open_requests_say_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with app_client(Limits(requests=1)) as client, ThreadPoolExecutor(2) as pool:
        slow = Slow(monkeypatch)
        first = pool.submit(make, client, some_ids(4, 1))
        assert slow.at_the_door.acquire(timeout=10)
        refusal(client.get("/api/health"), 503, "Busy")
        slow.go_on.set()
        first.result(10)
        assert client.get("/api/health").status_code == 200


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


# -- the process ---------------------------------------------------------------------------------------------------


def test_the_process_serves_text_to_two_tabs(served: Served) -> None:
    with httpx.Client(base_url=served.url) as one, httpx.Client(base_url=served.url) as two:
        for tab, text in ((one, "Hello"), (two, "wörld")):
            made = tab.post("/api/traces", json={"model": "speller", "text": text, "client": text, "seq": 1}).json()
            assert [bytes.fromhex(each["bytes"]) for each in made["tokens"]] == [bytes([b]) for b in text.encode()]
            assert made["text"] == text and made["model"] == "speller"
            frame = tab.get(f"/api/traces/{made['id']}/overview").content
            assert json.loads(json.dumps(read_frame(frame)[1]["next"]))["n_vocab"] == 257
        words = one.post("/api/tokenize", json={"model": "speller", "text": "ab c"}).json()
        assert [token["text"] for token in words["tokens"]] == ["a", "b", " ", "c"] and words["first"] == 0
        alone = one.post("/api/tokenize", json={"model": "speller", "text": "ab c", "at": 3}).json()
        (word,) = (each for each in words["words"] if alone["words"] == [each])
        assert alone["tokens"] == words["tokens"][alone["first"] :][: len(word["tokens"])]
        none = one.post("/api/tokenize", json={"model": "speller", "text": "ab c", "at": 9}).json()
        assert none == {"tokens": [], "words": [], "first": 0}
        listed = one.get("/api/models").json()
        assert listed["default"] == "speller" and listed["models"][0]["name"] == "speller"


def test_a_link_to_a_long_text_is_read(served: Served) -> None:
    def status(length: int) -> bytes:
        host, port = served.url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            text = "%D0%B6" * (length // 6)
            head = f"GET /?text={text} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            sock.sendall(head.encode())
            return sock.recv(12)

    assert status(25_000) == status(240_000) == b"HTTP/1.1 200"
    assert status(1_000_000) == b"HTTP/1.1 400"  # and no more memory than that for anybody


def test_answers_do_not_wait_for_an_acknowledgement(served: Served) -> None:
    """Nagle's algorithm would hold the second packet of each answer back for 40 ms."""
    with httpx.Client(base_url=served.url) as client:
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            client.get("/api/health")
            taken.append(time.perf_counter() - start)
    assert sorted(taken)[5] < 0.03


def test_a_client_that_goes_away_stops_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        app = create_app({MODEL: tiny_model(MODEL)}, limits=Limits(workers=1), port=port)
        server = server_for(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        desk = app.state.cutaway.desk
        running = ask(port, some_ids(4, 1))
        assert slow.at_the_door.acquire(timeout=10)
        queued = ask(port, some_ids(4, 2))
        wait_for(lambda: len(desk._jobs) == 2)
        jobs = list(desk._jobs)
        running.close()
        queued.close()
        wait_for(lambda: all(job.stopped is not None for job in jobs))
        slow.go_on.set()
        wait_for(lambda: not desk._jobs)
        # the one that ran stopped where it stood, the one in line never began
        assert slow.entered == ["blocks.0."]
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def ask(port: int, ids: list[int]) -> socket.socket:
    """A request, by hand, so that its connection can be dropped."""
    body = json.dumps({"model": MODEL, "ids": ids}).encode()
    head = f"POST /api/traces HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def test_the_default_port_gives_way_and_a_chosen_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("cutaway.server.run.DEFAULT_PORT", port)
        with bind("127.0.0.1", None) as free:
            assert free.getsockname()[1] != port
            assert free.proto == socket.IPPROTO_TCP
        with pytest.raises(cutaway.errors.BadInput, match="taken"):
            bind("127.0.0.1", port)
    with pytest.raises(cutaway.errors.BadInput, match="cannot listen"):
        bind("192.0.2.1", 0)


def test_ctrl_c_ends_it_quickly_and_quietly(speller: Path) -> None:
    with serving(speller) as served:
        with httpx.Client(base_url=served.url) as client:
            make(client, [1, 2, 3], "speller")
            start = time.monotonic()
            served.process.send_signal(signal.SIGINT)
            served.process.wait(timeout=10)
        assert time.monotonic() - start < 20
        assert served.process.returncode == 0 and served.said_on_stderr == ""


def test_another_address_is_warned_of(speller: Path) -> None:
    with serving(speller, "--host", "0.0.0.0") as served:
        site, _, token = served.url.partition("?token=")
        with httpx.Client(base_url=site, headers={"authorization": f"Bearer {token}"}) as client:
            assert client.get("/api/health").status_code == 200
            assert client.get("/api/health", headers={"host": "evil.example"}).status_code == 403
        assert "warning: listening on 0.0.0.0" in served.said_on_stderr


def test_half_of_the_cores_are_left_to_the_browser() -> None:
    import os

    import threadpoolctl

    from cutaway.server.run import half_of_the_cores

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with half_of_the_cores():
        assert all(each <= max(1, (os.cpu_count() or 2) // 2) for each in threads())
    assert threads() == before
