"""A model that writes, over HTTP: the engine's own steps, one event each; what stops it, and what it may take."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

import cutaway
from cutaway.generation.passes import Passes
from cutaway.server.app import create_app
from cutaway.server.limits import Limits
from cutaway.server.refusals import Busy
from cutaway.server.run import bind, server_for
from cutaway.server.writing import Caches, bytes_per_position
from tests.e2e.test_server import HERE, MODEL, app_client, make, refusal, wait_for
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model

Event = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with app_client() as client:
        yield client


@pytest.fixture(scope="module")
def speller(tmp_path_factory: pytest.TempPathFactory) -> cutaway.Model:
    folder: Path = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    return cutaway.load(folder)


def events(text: str) -> list[Event]:
    """What a browser makes of it."""
    found = []
    for each in text.split("\n\n")[:-1]:
        name, data = each.split("\n")
        assert name.startswith("event: ") and data.startswith("data: ")
        found.append((name[7:], json.loads(data[6:])))
    return found


def written(client: TestClient | httpx.Client, ids: list[int], **more: Any) -> tuple[list[Event], list[Any]]:
    """All events, and the steps among them."""
    answer = client.post("/api/generate", json={"model": MODEL, "ids": ids, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    return found, [each for name, each in found if name == "step"]


# -- the engine's own steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"seed": 3},
        {"seed": 3, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.3},
        {"seed": 1, "lookup": 6, "temperature": 0.3, "max_new_tokens": 40},
        {"seed": 2, "n_ctx": 12, "max_new_tokens": 25},
    ],
)
def test_steps_are_the_engines(client: TestClient, settings: dict[str, Any]) -> None:
    ids = some_ids(8)
    settings = {"max_new_tokens": 12, **settings}
    found, steps = written(client, ids, settings=settings, k=5)
    engines = list(tiny_model(MODEL).generate(ids, **settings))
    assert [each["token"]["id"] for each in steps] == [each.token_id for each in engines]
    for told, step in zip(steps, engines, strict=True):
        assert (told["index"], told["position"], told["finish"]) == (step.index, step.position, step.finish)
        assert told["drafted"] == step.drafted and (told["draft"] is None) == (step.draft is None)
        if step.draft is not None:
            assert [each["id"] for each in told["draft"]["tokens"]] == list(step.draft.ids)
            assert told["draft"]["accepted"] == step.draft.accepted
        assert told["dropped"] == (step.dropped and vars(step.dropped))
        assert told["kept"]["top_k"] == step.choice.kept().get("top_k", 97)
        if step.u is None:
            assert told["draw"] is None
        else:
            assert told["draw"]["u"] == step.u and told["draw"]["token"]["id"] == step.token_id
        likeliest = [each for each in step.candidates if each.rank <= 5]
        assert [each["token"]["id"] for each in told["candidates"][:5]] == [each.token_id for each in likeliest]
        for one, other in zip(told["candidates"], likeliest, strict=False):
            assert one["logit"] == pytest.approx(other.logit, rel=1e-4)
            assert one["probability"] == pytest.approx(other.plain_probability, rel=1e-3)
            assert one["final"] == pytest.approx(other.probability, rel=1e-3, abs=1e-9)
    (start, first), (end, last) = found[0], found[-1]
    assert start == "start" and [each["id"] for each in first["tokens"]] == ids
    assert first["seed"] == engines[0].seed if "seed" in settings else isinstance(first["seed"], int)
    assert first["n_ctx"] == settings.get("n_ctx", 64)
    assert end == "end" and last == {"finish": "length", "ids": ids + [each.token_id for each in engines]}
    if "lookup" in settings:
        assert any(each["drafted"] for each in steps)
    if "n_ctx" in settings:
        assert any(each["dropped"] for each in steps)


def test_each_step_tells_what_was_not_computed_again(client: TestClient) -> None:
    _, steps = written(client, some_ids(6), settings={"max_new_tokens": 4, "seed": 1})
    row = 3 * 2 * 2 * 8 * 4  # blocks, keys and values, kv_heads, d_head, float32
    assert [each["cache"] for each in steps] == [
        {"held": held, "computed": computed, "bytes": (held + computed) * row, "kept": True}
        for held, computed in ((0, 6), (6, 1), (7, 1), (8, 1))
    ]
    assert all(each["seconds"] > 0 for each in steps)
    # a mean over positions looks at everything, so nothing may be kept
    mean = [{"site": "blocks.0.attn.z", "action": "mean", "selection": {"head": 1}}]
    _, steps = written(client, some_ids(6), settings={"max_new_tokens": 2, "seed": 1}, interventions=mean)
    assert [each["cache"]["computed"] for each in steps] == [6, 7] and not steps[1]["cache"]["kept"]


def test_a_draft_is_one_pass(client: TestClient) -> None:
    _, steps = written(client, [5, 6, 7, 5, 6, 7, 5, 6], settings={"temperature": 0.0, "lookup": 4})
    for before, step in itertools.pairwise(steps):
        same = step["draft"] is not None and step["cache"]["held"] == before["cache"]["held"]
        assert (step["seconds"] == 0) == same


def test_changes_act(client: TestClient) -> None:
    off = [{"site": "blocks.*.attn.z", "action": "zero"}]
    ids = some_ids(7)
    _, steps = written(client, ids, settings={"max_new_tokens": 8, "temperature": 0.0}, interventions=off)
    changed = tiny_model(MODEL).intervene({"blocks.*.attn.z": cutaway.zero()})
    tokens = [each["token"]["id"] for each in steps]
    assert tokens == [each.token_id for each in changed.generate(ids, max_new_tokens=8, temperature=0.0)]
    assert tokens != [each.token_id for each in tiny_model(MODEL).generate(ids, max_new_tokens=8, temperature=0.0)]


@pytest.mark.parametrize("lookup", [0, 5])
def test_a_pause_changes_nothing(client: TestClient, lookup: int) -> None:
    settings = {"max_new_tokens": 16, "seed": 11, "repetition_penalty": 1.2, "lookup": lookup}
    ids = some_ids(5)
    whole = [each["token"]["id"] for each in written(client, ids, settings=settings)[1]]
    for at in (1, 7, 15):
        rest = {**settings, "max_new_tokens": 16 - at, "index": at}
        _, steps = written(client, ids + whole[:at], settings=rest)
        assert [each["index"] for each in steps] == list(range(at, 16))
        assert [each["token"]["id"] for each in steps] == whole[at:]


def test_text_becomes_whole_and_stops(speller: cutaway.Model) -> None:
    app = create_app({"speller": speller}, port=8765)
    with TestClient(app, base_url=HERE) as client:
        body = {"model": "speller", "text": "wörld", "settings": {"max_new_tokens": 30, "seed": 5}}
        steps = [each for name, each in events(client.post("/api/generate", json=body).text) if name == "step"]
        engines = list(speller.generate("wörld", max_new_tokens=30, seed=5))
        assert [each["text"] for each in steps] == [each.text for each in engines]
        letter = next(each.text for each in engines[3:] if each.text.strip().isascii() and each.text.strip())
        stopped = events(client.post("/api/generate", json={**body, "stop": [letter]}).text)
        assert stopped[-1][1]["finish"] == "stop" and len(stopped) < 32
        hello = {"model": "speller", "messages": [{"role": "user", "content": "a"}]}
        refusal(client.post("/api/chat", json=hello), 422, "BadInput")  # it has no template


def test_a_chat_is_the_text_that_the_model_gets(default_model: cutaway.Model) -> None:
    model = default_model
    messages = [{"role": "user", "content": "What is <|im_end|>?"}]
    with TestClient(create_app({"m": model}, port=8765), base_url=HERE) as client:
        told = client.post("/api/chat", json={"model": "m", "messages": messages}).json()
        assert [each["id"] for each in told["tokens"]] == model.chat_ids(messages)
        assert told["text"].endswith("<|im_start|>user\nWhat is <|im_end|>?<|im_end|>\n<|im_start|>assistant\n")
        # what a person typed is text, and the template's own marks are special
        assert [each["special"] for each in told["tokens"] if each["text"] == "<|im_end|>"] == [True, True]
        refusal(client.post("/api/chat", json={"model": "m", "messages": []}), 422, "BadInput")
        many = [{"role": "user", "content": "a"}] * 201
        refusal(client.post("/api/chat", json={"model": "m", "messages": many}), 422, "BadInput")
        strange = client.post("/api/chat", json={"model": "m", "messages": [{"role": "user", "text": "a"}]})
        refusal(strange, 422, "BadRequest")


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"settings": {"max_new_tokens": 0}},
        {"settings": {"max_new_tokens": 1025}},
        {"settings": {"temperature": -1.0}},
        {"settings": {"top_p": 0.0}},
        {"settings": {"lookup": 65}},
        {"settings": {"n_ctx": 65}},
        {"settings": {"n_ctx": 2}},  # shorter than the text
        {"settings": {"index": -1}},
        {"settings": {"seed": -1}},
        {"stop": ["x"]},  # the tiny model has no tokenizer
        {"stop": ["x"] * 17},
        {"k": 101},
        {"ids": []},
        {"ids": [97]},
    ],
)
def test_wrong_settings_are_answered_before_anything_is_written(client: TestClient, more: dict[str, Any]) -> None:
    body = {"model": MODEL, "ids": [1, 2, 3], **more}
    refusal(client.post("/api/generate", json=body), 422, "BadInput")


def test_wrong_bodies_get_a_sentence(client: TestClient) -> None:
    for more in ({"settings": {"max_tokens": 3}}, {"settings": {"seed": "1"}}, {"stop": "x"}, {"text": "a"}):
        refusal(client.post("/api/generate", json={"model": MODEL, "ids": [1], **more}), 422, "BadRequest")
    refusal(client.post("/api/generate", json={"model": "gone", "ids": [1]}), 404, "UnknownModel")


def test_what_goes_wrong_on_the_way_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []
    forward = Passes.forward

    def breaks(self: Passes, ids: Any, cache: Any = None, **more: Any) -> Any:
        grown.append(1)
        if len(grown) == 3:
            raise cutaway.errors.BadNumbers("the computation overflowed.")
        if len(grown) == 13:
            raise ZeroDivisionError
        return forward(self, ids, cache, **more)

    monkeypatch.setattr(Passes, "forward", breaks)
    found, steps = written(client, [1, 2, 3])
    assert len(steps) == 2
    assert found[-1] == ("error", {"error": {"kind": "BadNumbers", "message": "the computation overflowed."}})
    grown[:] = [1] * 10
    found, _ = written(client, [1, 2, 3])
    assert found[-1][0] == "error" and found[-1][1]["error"]["kind"] == "ServerError"
    assert "ZeroDivision" not in json.dumps(found[-1])


# -- readers in turn, and those who go -----------------------------------------------------------------------------


class Stepwise:
    """Holds every pass of a generation until it is let go, at its first block's door or before it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.go_on = threading.Semaphore(0)
        forward = Passes.forward

        def slow(passes: Passes, ids: Any, cache: Any = None, **more: Any) -> Any:
            self.begun.append(len(ids))
            assert self.go_on.acquire(timeout=10)
            kept = forward(passes, ids, cache, **more)
            self.done.append(len(ids))
            return kept

        monkeypatch.setattr(Passes, "forward", slow)


def test_others_have_their_turn_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    with app_client(Limits(workers=1, turn=1e-9)) as client, ThreadPoolExecutor(4) as pool:
        work = Stepwise(monkeypatch)
        writer = pool.submit(written, client, [1, 2, 3], settings={"max_new_tokens": 3, "seed": 1})
        wait_for(lambda: work.begun == [3])
        other = pool.submit(make, client, some_ids(9))
        desk = client.app.state.cutaway.desk  # type: ignore[attr-defined]
        wait_for(lambda: len(desk._jobs) == 2)
        work.go_on.release()
        # the other's nine tokens go before the second step
        wait_for(lambda: work.begun == [3, 9])
        work.go_on.release()
        other.result(10)
        work.go_on.release()
        work.go_on.release()
        assert len(writer.result(10)[1]) == 3
        assert work.done == [3, 9, 1, 1]


def test_a_full_line_does_not_break_off_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    with app_client(Limits(workers=1, waiting=1)) as client, ThreadPoolExecutor(4) as pool:
        work = Stepwise(monkeypatch)
        writer = pool.submit(written, client, [1, 2, 3], settings={"max_new_tokens": 2, "seed": 1})
        wait_for(lambda: work.begun == [3])
        other = pool.submit(make, client, some_ids(9))
        desk = client.app.state.cutaway.desk  # type: ignore[attr-defined]
        wait_for(lambda: len(desk._jobs) == 2)
        refusal(client.post("/api/generate", json={"model": MODEL, "ids": [1]}), 503, "Busy")
        for _ in range(3):
            work.go_on.release()
        assert len(writer.result(10)[1]) == 2 and other.result(10)["n_pos"] == 9


def test_a_reader_who_goes_stops_the_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Stepwise(monkeypatch)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        app = create_app({MODEL: tiny_model(MODEL)}, limits=Limits(workers=1), port=port)
        server = server_for(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        state = app.state.cutaway
        body = {"model": MODEL, "ids": [1, 2, 3], "settings": {"max_new_tokens": 50, "seed": 1}}
        with httpx.stream("POST", f"http://127.0.0.1:{port}/api/generate", json=body) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: start"
            work.go_on.release()
            while not next(lines).startswith("event: step"):
                pass
            wait_for(lambda: work.begun == [3, 1])
            assert state.caches._taken == 53 * bytes_per_position(tiny_model(MODEL).config)
            (job,) = state.desk._jobs
        wait_for(lambda: job.stopped is not None)
        work.go_on.release()
        wait_for(lambda: not state.desk._jobs)
        # the pass that ran stopped at a block's door, no other began, and nothing is held
        assert work.begun == [3, 1] and work.done == [3]
        wait_for(lambda: state.caches._taken == 0)
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def test_caches_have_room_for_so_much() -> None:
    caches = Caches(100)
    alone = caches.room_for(1000)  # there is always room for one
    with alone, pytest.raises(Busy, match="memory"), caches.room_for(1):
        pass
    with caches.room_for(60), caches.room_for(40):
        assert caches._taken == 100
    assert caches._taken == 0


def test_more_writing_than_memory_says_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 10 * bytes_per_position(tiny_model(MODEL).config)
    with app_client(Limits(workers=1, writing_bytes=most)) as client, ThreadPoolExecutor(2) as pool:
        work = Stepwise(monkeypatch)
        writer = pool.submit(written, client, [1, 2, 3], settings={"max_new_tokens": 3, "seed": 1})
        wait_for(lambda: work.begun == [3])
        second = pool.submit(
            client.post, "/api/generate", json={"model": MODEL, "ids": [1, 2], "settings": {"max_new_tokens": 3}}
        )
        for _ in range(3):
            work.go_on.release()
        assert len(writer.result(10)[1]) == 3
        refusal(second.result(10), 503, "Busy")
