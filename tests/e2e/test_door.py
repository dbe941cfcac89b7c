"""A server that others can reach: who is let in, who is not, and what each is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from cutaway.server import door
from cutaway.server.app import create_app
from cutaway.server.limits import Limits
from cutaway.server.run import address, address_for_others, bind
from tests.e2e.test_server import MODEL, make, refusal, wait_for
from tests.support.serving import Served, serving
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model

TOKEN = "5ecret" * 8
HERE = "http://192.168.7.7:8765"


def shared(limits: Limits | None = None, **settings: Any) -> TestClient:
    """A server of a class, and one browser."""
    app = create_app({MODEL: tiny_model(MODEL)}, limits=limits, port=8765, token=TOKEN, any_address=True, **settings)
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


def another(client: TestClient) -> TestClient:
    """Another browser, which has opened the address."""
    browser = TestClient(client.app, base_url=HERE, raise_server_exceptions=False)
    assert browser.get(f"/?token={TOKEN}").status_code == 200
    return browser


@pytest.fixture
def stranger() -> Iterator[TestClient]:
    with shared() as client:
        yield client


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<!doctype html>the page")
    return tmp_path


# -- without a token -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/health", "/api/models", "/openapi.json", "/assets/app.js", "/favicon.ico"])
def test_a_stranger_is_told_one_thing(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert "?token=" in refusal(answer, 401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer" and "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"] and TOKEN not in answer.text
    refusal(stranger.post("/api/traces", json={"model": MODEL, "ids": [1]}), 401, "Unauthorized")


def test_a_stranger_in_a_browser_reads_a_page(stranger: TestClient) -> None:
    answer = stranger.get("/?text=hello&token=7", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 401 and answer.headers["content-type"].startswith("text/html")
    assert "A token is needed" in answer.text and "<script" not in answer.text and TOKEN not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "é" * 48, "%00", "%ff"])
def test_a_wrong_token_is_called_wrong(stranger: TestClient, wrong: str) -> None:
    answer = stranger.get(f"/?token={wrong}")
    assert "not this server's" in refusal(answer, 401, "Unauthorized")
    assert "set-cookie" not in answer.headers
    refusal(stranger.get("/api/health", headers={"authorization": f"Bearer {wrong}".encode()}), 401, "Unauthorized")


def test_a_token_opens_the_page_and_nothing_else(stranger: TestClient) -> None:
    """In the address of a request below /api it would end up in logs, and `token` means a token of the text there."""
    for path in ("/api/health", "/api/models", "/openapi.json", "/index.html"):
        refusal(stranger.get(f"{path}?token={TOKEN}"), 401, "Unauthorized")


@pytest.mark.parametrize("cookie", ["", "a.b", ".", "name.", "name", f"{TOKEN}.{TOKEN}", "é.é"])
def test_a_made_up_cookie_is_none(stranger: TestClient, cookie: str) -> None:
    headers = {"cookie": f"cutaway-8765={cookie}".encode()}
    refusal(stranger.get("/api/health", headers=headers), 401, "Unauthorized")


def test_a_comparison_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watched(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(door.hmac, "compare_digest", watched)
    with shared() as client:
        client.get("/?token=guess")
        client.get("/api/health", headers={"cookie": "cutaway-8765=name.seal", "authorization": "Bearer try"})
    assert (b"guess", TOKEN.encode()) in compared and (b"try", TOKEN.encode()) in compared
    assert any(a == b"seal" for a, b in compared)


# -- with it -------------------------------------------------------------------------------------------------------


def test_the_first_visit_sets_a_cookie_and_leads_on_without_the_token(built: Path) -> None:
    with shared(folder=built) as browser:
        first = browser.get(f"/?text=a%26b&token={TOKEN}&token=919&pin=x:1,2")
        assert first.status_code == 200 and TOKEN not in first.text and first.headers["cache-control"] == "no-store"
        # the page's own `token` stays
        assert 'content="0;url=/?text=a%26b&amp;token=919&amp;pin=x%3A1%2C2"' in first.text
        (set_cookie,) = first.headers.get_list("set-cookie")
        name, *rest = set_cookie.split("; ")
        assert name.startswith("cutaway-8765=") and TOKEN not in name
        assert {each.lower() for each in rest} == {"httponly", "path=/", "samesite=strict"}
        page = browser.get("/?text=a%26b&token=919&pin=x:1,2")
        assert page.text == "<!doctype html>the page"
        id = make(browser, some_ids(5))["id"]
        assert browser.get(f"/api/traces/{id}/attribution?token=3").status_code == 200
        # the address once more keeps the reader who they were
        again = browser.get(f"/?token={TOKEN}")
        assert again.headers["set-cookie"].split(";")[0] == name


def test_each_browser_is_another_reader(stranger: TestClient) -> None:
    cookies = {another(stranger).cookies["cutaway-8765"] for _ in range(3)}
    assert len(cookies) == 3
    name, _, _ = cookies.pop().partition(".")
    _, _, seal = cookies.pop().partition(".")
    stranger.cookies.set("cutaway-8765", f"{name}.{seal}")
    refusal(stranger.get("/api/health"), 401, "Unauthorized")


def test_a_program_says_the_token(stranger: TestClient) -> None:
    for scheme in ("Bearer", "bearer", "token"):
        assert stranger.get("/api/health", headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200
    refusal(stranger.get("/api/health", headers={"authorization": f"Basic {TOKEN}"}), 401, "Unauthorized")
    refusal(stranger.get("/api/health"), 401, "Unauthorized")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://192.168.7.8:8765", "null", "http://192.168.7.7"])
def test_a_cookie_does_not_help_another_site(stranger: TestClient, origin: str) -> None:
    browser = another(stranger)
    body = {"model": MODEL, "ids": [1]}
    assert browser.post("/api/traces", json=body, headers={"origin": HERE}).status_code == 200
    refusal(browser.post("/api/traces", json=body, headers={"origin": origin}), 403, "Refused")


def test_any_address_of_this_machine_will_do_and_no_name(stranger: TestClient) -> None:
    browser = another(stranger)
    for host in ("10.1.2.3:8765", "[fe80::1]:8765", "127.0.0.1:8765"):
        assert browser.get("/api/health", headers={"host": host}).status_code == 200
    for host in ("evil.example:8765", "10.1.2.3", "10.1.2.3:80", "10.1.2.3.evil.example:8765", "[::1:8765"):
        refusal(browser.get("/api/health", headers={"host": host}), 403, "Refused")


def test_loopback_alone_asks_for_nothing() -> None:
    with TestClient(create_app({MODEL: tiny_model(MODEL)}, port=8765), base_url="http://127.0.0.1:8765") as client:
        answer = client.get("/api/health")
        assert answer.status_code == 200 and "set-cookie" not in answer.headers
        assert client.get(f"/?token={TOKEN}").headers.get("set-cookie") is None
        refusal(client.get("/api/health", headers={"host": "192.168.7.7:8765"}), 403, "Refused")


# -- readers in turn -----------------------------------------------------------------------------------------------


class Door:
    """Work that waits until it is let go, and says whose it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[int] = []
        self.go_on = threading.Semaphore(0)
        model = tiny_model(MODEL)
        trace = type(model).trace

        def slow(model: Any, ids: Any, **more: Any) -> Any:
            self.begun.append(ids[0])
            assert self.go_on.acquire(timeout=10)
            return trace(model, ids, **more)

        monkeypatch.setattr(type(model), "trace", slow)


def test_one_who_asks_for_much_does_not_hold_others_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared(Limits(workers=1, turn=1e-9, waiting=50, waiting_each=3)) as client, ThreadPoolExecutor(16) as pool:
        greedy, a, b = another(client), another(client), another(client)
        work = Door(monkeypatch)
        desk = client.app.state.cutaway.desk  # type: ignore[attr-defined]

        def ask(browser: TestClient, first: int) -> httpx.Response:
            before = len(desk._jobs)
            asked = pool.submit(browser.post, "/api/traces", json={"model": MODEL, "ids": [first, 1]})
            wait_for(lambda: len(desk._jobs) == before + 1 or asked.done())
            return asked  # type: ignore[return-value]

        answers: list[Any] = [ask(greedy, 10)]
        wait_for(lambda: work.begun == [10])
        answers += [ask(greedy, first) for first in (11, 12, 13)]
        assert "most for one reader" in refusal(ask(greedy, 14).result(10), 503, "Busy")  # type: ignore[attr-defined]
        answers += [ask(a, 20), ask(b, 30), ask(a, 21)]
        for _ in answers:
            work.go_on.release()
        assert [each.result(10).status_code for each in answers] == [200] * 7
        # one piece of the greedy one's may go before others, not two
        assert max(work.begun.index(20), work.begun.index(30)) < work.begun.index(12)


def test_readers_do_not_overtake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tabs of different readers may well call themselves the same."""
    with shared(Limits(workers=1)) as client, ThreadPoolExecutor(4) as pool:
        work = Door(monkeypatch)

        def typed(browser: TestClient, seq: int) -> Any:
            body = {"model": MODEL, "ids": [seq, 2], "client": "a tab", "seq": seq}
            return pool.submit(browser.post, "/api/traces", json=body)

        mine, theirs = another(client), another(client)
        first = typed(mine, 1)
        wait_for(lambda: work.begun == [1])
        second = typed(theirs, 9)
        wait_for(lambda: len(client.app.state.cutaway.desk._jobs) == 2)  # type: ignore[attr-defined]
        for _ in range(2):
            work.go_on.release()
        assert first.result(10).status_code == 200 and second.result(10).status_code == 200


def test_one_reader_cannot_hold_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared(Limits(requests_each=1)) as client, ThreadPoolExecutor(2) as pool:
        mine, theirs = another(client), another(client)
        work = Door(monkeypatch)
        first = pool.submit(make, mine, [5, 6])
        wait_for(lambda: work.begun == [5])
        assert "most for one reader" in refusal(mine.get("/api/health"), 503, "Busy")
        assert theirs.get("/api/health").status_code == 200
        work.go_on.release()
        first.result(10)
        assert mine.get("/api/health").status_code == 200


# -- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    with serving(folder, "--host", "127.0.0.1") as served:
        yield served


def test_the_address_that_is_printed_opens_the_page(served: Served) -> None:
    site, _, token = served.url.partition("?token=")
    assert len(token) == 48
    with httpx.Client(base_url=site) as browser:
        refusal(browser.get("/api/health"), 401, "Unauthorized")
        assert browser.get(served.url).status_code == 200
        assert browser.get("/api/health").status_code == 200
        made = make(browser, [1, 2, 3], "speller")
        assert browser.get(f"/api/traces/{made['id']}/overview").status_code == 200
    assert served.said_on_stderr == ""  # nobody but this machine can reach it


def test_addresses_carry_the_token() -> None:
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert address(sock) == f"http://127.0.0.1:{port}/" and address_for_others(sock, "t") is None
        assert address(sock, "t") == f"http://127.0.0.1:{port}/?token=t"
    with bind("0.0.0.0", 0) as sock:
        assert address(sock, "t").startswith("http://127.0.0.1:")
        others = address_for_others(sock, "t")
        assert others is None or (others.endswith("/?token=t") and "127.0.0.1" not in others)
    assert len({door.new_token() for _ in range(9)}) == 9
