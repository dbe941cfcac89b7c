"""A class: a hundred readers type at once, from a second process, into one server that lets others in.

python -m benchmarks classroom

Three processes: this one, the server, and the readers, each of whom opens the address with its token and types into a
tab of their own. First as people do: five letters a second, each a request that overtakes the one before, then a
look at the answer. Then all at once and without a pause: every reader waits for the answer to each letter, and has
the next letter ready. An answer is the trace and the first picture of it. Afterwards all are compared with what the
engine says of those texts; and the median wait with what the engine alone needs for a hundred texts, one for each
reader, on as many threads: while all wait, no turn comes round sooner (Denning and Buzen 1978).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Options, model_path

READERS, PHRASES, LETTERS, HURRIED = 100, 2, 8, 4
PAUSE = (0.08, 0.32)  # seconds between two letters of somebody who types five a second
THINK = (0.5, 1.5)  # between an answer and the next letter
CACHE_MB = 64
SLACK = 48 << 20  # what may come and go in a server's memory: buffers, pools, the allocator's own ways
WITHIN = 2.0
TOGETHER = 16  # texts that the engine runs in one pass when all is compared

BEGINNINGS = (
    "The robots will bring",
    "Data visualization empowers users to",
    "When the rain had stopped, the children",
    "A good teacher asks before",
    "In the middle of the night the old house",
    "She opened the letter and",
    "Nobody had told the captain that",
    "The river is wide and",
)
ENDINGS = (
    " peace and work",
    " a small light",
    " many questions",
    " the open door",
    " water to drink",
    " nothing new",
)


def phrase(reader: int, turn: int) -> tuple[str, str]:
    """What stands there already, and what is typed; no two readers ever type the same."""
    draw = random.Random(f"{reader} {turn}")
    typed = draw.choice(ENDINGS)[:LETTERS]
    return f"Reader {reader}, page {turn + 1}. {draw.choice(BEGINNINGS)}", typed


# -- the readers' process ------------------------------------------------------------------------------------------


class Connection:
    """HTTP/1.1 by hand, one request at a time: a hundred full clients would want the cores for themselves."""

    def __init__(self, host: str, port: int) -> None:
        self._at = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.cookie = ""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. Cancelled, it lets the connection go, as a browser does."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._at)
            reader, writer = self._streams
            sent = b"" if body is None else json.dumps(body).encode()
            lines = [
                f"{method} {path} HTTP/1.1",
                f"Host: {self._at[0]}:{self._at[1]}",
                f"Content-Length: {len(sent)}",
            ]
            lines += [f"Cookie: {self.cookie}"] if self.cookie else []
            lines += ["Content-Type: application/json"] if sent else []
            writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Reader:
    def __init__(self, number: int, site: str, token: str, model: str, folder: Path) -> None:
        host, _, port = site.removeprefix("http://").rstrip("/").partition(":")
        self.number = number
        self.typing, self.looking = Connection(host, int(port)), Connection(host, int(port))
        self.token, self.model, self.folder = token, model, folder
        self.statuses: Counter[int] = Counter()
        self.answers: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.errors: list[str] = []
        self.seq = 0
        self.random = random.Random(number)

    async def reads(self, phrases: int) -> None:
        await self.comes_in()
        for turn in range(phrases):
            await asyncio.sleep(self.random.uniform(*THINK))
            await self.types(turn)

    async def hurries(self, turn: int, letters: int) -> None:
        before, typed = phrase(self.number, turn)
        for length in range(1, letters + 1):
            self.seq += 1
            pressed = time.perf_counter()
            self.keep(
                "hurried", before + typed[:length], pressed, *await self.asks(before + typed[:length], self.seq)
            )

    async def guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.errors.append(f"reader {self.number}: {error!r}")

    def keep(self, how: str, text: str, pressed: float, made: Any, frame: bytes) -> None:
        answer = {"how": how, "text": text, "made": made, "frame": f"{self.number}-{len(self.frames)}"}
        self.answers.append({**answer, "seconds": time.perf_counter() - pressed})
        self.frames.append(frame)  # to the disk later: nobody should wait for that

    def goes(self) -> None:
        self.typing.close()
        self.looking.close()
        for answer, frame in zip(self.answers, self.frames, strict=True):
            (self.folder / answer["frame"]).write_bytes(frame)

    async def comes_in(self) -> None:
        status, headers, _ = await self.typing.ask("GET", f"/?token={self.token}")
        if status != 200:
            raise RuntimeError(f"the door answered {status}")
        self.typing.cookie = self.looking.cookie = headers["set-cookie"].split(";")[0]

    async def types(self, turn: int) -> None:
        before, typed = phrase(self.number, turn)
        asked: asyncio.Task[Any] | None = None
        for length in range(1, LETTERS + 1):
            if asked is not None and not asked.done():
                asked.cancel()
                await asyncio.wait({asked})
            self.seq += 1
            pressed = time.perf_counter()
            asked = asyncio.create_task(self.asks(before + typed[:length], self.seq))
            await asyncio.sleep(self.random.uniform(*PAUSE) if length < LETTERS else 0)
        assert asked is not None
        self.keep("typed", before + typed, pressed, *await asked)

    async def asks(self, text: str, seq: int) -> tuple[Any, bytes]:
        """The answer to a letter, and the first picture of it."""
        body = {"model": self.model, "text": text, "client": f"tab of {self.number}", "seq": seq}
        while True:
            made = json.loads(await self.wants("POST", "/api/traces", self.typing, body))
            frame = await self.wants("GET", f"/api/traces/{made['id']}/overview?bins=48", self.typing, gone=True)
            if frame:
                return made, frame

    async def wants(
        self, method: str, path: str, connection: Connection, body: Any = None, gone: bool = False
    ) -> bytes:
        """What comes with 200; b"" for a trace that others have pushed out (it is made again, as the page does)."""
        while True:
            status, _, answer = await connection.ask(method, path, body)
            self.statuses[status] += 1
            if status == 200:
                return answer
            if status == 410 and gone:
                return b""
            if status != 503:
                raise RuntimeError(f"{method} {path} answered {status}: {answer[:200].decode()}")
            await asyncio.sleep(1.0)


async def _read_all(site: str, token: str, model: str, folder: Path, phrases: int, letters: int) -> dict[str, Any]:
    readers = [Reader(number, site, token, model, folder) for number in range(READERS)]
    await asyncio.gather(*(each.guarded(each.reads(phrases)) for each in readers))
    await asyncio.gather(*(each.guarded(each.hurries(phrases, letters)) for each in readers))
    for each in readers:
        each.goes()
    statuses: Counter[int] = Counter()
    for each in readers:
        statuses.update(each.statuses)
    return {
        "answers": [answer for each in readers for answer in each.answers],
        "errors": [error for each in readers for error in each.errors],
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
    }


# -- the engine alone ----------------------------------------------------------------------------------------------


def engine_seconds(model: Any, texts: list[str], workers: int) -> float:
    """What the engine alone takes for all of them, the faster of two rounds: trace, and the logits of the last
    position; on the server's own number of threads."""
    from cutaway.server.run import half_of_the_cores, share_cores

    def once(text: str) -> None:
        model.trace(text).logits()

    share_cores(workers)
    with half_of_the_cores(), ThreadPoolExecutor(workers) as pool:
        taken = []
        for _ in range(2):
            started = time.perf_counter()
            list(pool.map(once, texts))
            taken.append(time.perf_counter() - started)
    return min(taken)


# -- this process --------------------------------------------------------------------------------------------------


@contextmanager
def _served() -> Iterator[tuple[str, str, int]]:
    """A server of a class: its address, its token, its process."""
    command = [sys.executable, "-m", "cutaway.cli", "serve", "--no-open", "--port", "0", "--host", "127.0.0.1"]
    command += ["--cache-mb", str(CACHE_MB), "--model", model_path()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            if not said.startswith("Cutaway is at "):
                raise RuntimeError(f"the server did not come up: {said}")
            site, _, token = said.split()[3].partition("?token=")
            yield site, token, server.pid
        finally:
            server.terminate()


class _Memory:
    """Resident bytes of a process, a few times a second, until it is left."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[int] = []

    def _look(self) -> None:
        while not self._over.wait(0.25):
            lines = self._status.read_text().splitlines()
            self.seen.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")))

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """From the middle of the time (caches are full by then) to the end: medians of a tenth each."""
        tenth = max(1, len(self.seen) // 10)
        middle = self.seen[len(self.seen) // 2 : len(self.seen) // 2 + tenth]
        return int(statistics.median(self.seen[-tenth:]) - statistics.median(middle))


def compared(model: Any, answers: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """What differs from the engine's own numbers, answer by answer."""
    for at in range(0, len(answers), TOGETHER):
        some = answers[at : at + TOGETHER]
        for answer, trace in zip(some, model.trace([each["text"] for each in some]), strict=True):
            difference = wrong(model, trace, answer, (folder / answer["frame"]).read_bytes())
            if difference:
                yield difference


def wrong(model: Any, trace: Any, answer: dict[str, Any], frame: bytes) -> str | None:
    from cutaway.wire.frames import read_frame

    text, made = answer["text"], answer["made"]
    if made["text"] != text or [each["id"] for each in made["tokens"]] != model.encode(text):
        return f"{text!r}: the answer is of another text"
    stripes, metadata = read_frame(frame)
    for name in ("embed", *(f"blocks.{i}.resid_pre" for i in range(0, model.config.n_layer, 7))):
        there = np.take_along_axis(trace[name], stripes[f"{name}#index"].astype(int), -1)
        if not np.allclose(there, stripes[name], rtol=1e-3, atol=1e-4):
            return f"{text!r}: {name} differs"
    following: Any = metadata["next"]
    for told, own in zip(following["candidates"], trace.next_tokens(5), strict=False):
        if told["token"]["id"] != own.token.id or abs(told["logit"] - own.logit) > 1e-3:
            return f"{text!r}: what comes next differs"
    return None


def run(options: Options = Options()) -> list[dict[str, Any]]:  # noqa: B008
    import cutaway
    from cutaway.server.limits import Limits

    phrases, letters = (1, 3) if options.quick else (PHRASES, HURRIED)
    model = cutaway.load(model_path())
    texts = ["".join(phrase(reader, phrases)) for reader in range(READERS)]
    alone = engine_seconds(model, texts, Limits().workers)
    with tempfile.TemporaryDirectory() as folder:
        with _served() as (site, token, pid):
            _settle(site, token, model.name)
            with _Memory(pid) as memory:
                command = [sys.executable, "-m", "benchmarks.classroom", site, token, model.name, folder]
                command += [str(phrases), str(letters)]
                ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"benchmarks classroom: {ran.stderr.strip()}")
        # before and after the class, and the faster of both: somebody else may want the machine for a moment
        alone = min(alone, engine_seconds(model, texts, Limits().workers))
        got = json.loads(ran.stdout)
        differs = list(compared(model, got["answers"], Path(folder)))
    return rows(got, differs, memory, alone, READERS * (phrases + letters))


def _settle(site: str, token: str, model: str) -> None:
    """The weights are read before the class comes."""

    async def once() -> None:
        with tempfile.TemporaryDirectory() as folder:
            reader = Reader(READERS, site, token, model, Path(folder))
            await reader.comes_in()
            await reader.hurries(0, 2)
            reader.goes()

    asyncio.run(once())


def rows(
    got: dict[str, Any], differs: list[str], memory: _Memory, alone: float, expected: int
) -> list[dict[str, Any]]:
    def row(figure: str, bar: str, value: str, met: bool, **more: Any) -> dict[str, Any]:
        return {"figure": figure, "bar": bar, "value": value, "met": met, **more}

    refused = got["statuses"].get("503", 0)
    lost = expected - len(got["answers"])

    def wait(how: str, figure: str) -> dict[str, Any]:
        waits = sorted(each["seconds"] for each in got["answers"] if each["how"] == how)
        median = statistics.median(waits)
        return row(figure, f"≤ {WITHIN:g} × {alone:.2f} s", f"{median:.2f} s = {median / alone:.2f} ×",
                   median <= WITHIN * alone, p95_s=waits[int(0.95 * (len(waits) - 1))], most_s=waits[-1],
                   engine_alone_s=alone, load=os.getloadavg()[0])  # fmt: skip

    return [
        row(f"errors, {READERS} readers", "0", str(len(got["errors"]) + refused), not got["errors"] and not refused,
            statuses=got["statuses"], errors=got["errors"][:5]),
        row(f"answers lost, of {expected}", "0", str(lost), lost == 0),
        row("answers that differ from the engine's", "0", str(len(differs)), not differs, which=differs[:5]),
        wait("hurried", "median answer while all wait"),
        wait("typed", "median answer to the last letter of a phrase"),
        row("memory of the server, from half-way to the end", f"≤ {SLACK >> 20} MB more",
            f"{memory.grown / 2**20:+.0f} MB (of {max(memory.seen) >> 20} MB)", memory.grown <= SLACK),
    ]  # fmt: skip


if __name__ == "__main__":
    site, token, name, folder, phrases, letters = sys.argv[1:]
    print(json.dumps(asyncio.run(_read_all(site, token, name, Path(folder), int(phrases), int(letters)))))
